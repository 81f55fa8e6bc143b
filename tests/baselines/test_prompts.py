import numpy as np
import pytest
import torch

from unimp.baselines.shared.prompts import (
    FIRST_CODE,
    START,
    TEMPLATES,
    WORDS,
    random_codes,
    training_targets,
    write_prompts,
)
from unimp.data.histories import Histories

IDS = FIRST_CODE + torch.tensor([[0, 3], [1, 3], [1, 4]])


def words(text: str) -> list[int]:
    return [WORDS.index(word) for word in text.split()]


@pytest.mark.parametrize("template", range(len(TEMPLATES)))
def test_a_prompt_reads_as_written(template: int) -> None:
    prompts = write_prompts(torch.tensor([[2, 0], [1, 0]]), torch.tensor([2, 1]), IDS, template)
    before, after = (words(text) for text in TEMPLATES[template])
    first = [*before, *IDS[2].tolist(), *IDS[0].tolist(), *after]
    second = [*before, *IDS[1].tolist(), *after]
    assert prompts.tokens_BT.tolist() == [first, [*second, START, START]]
    assert prompts.real_BT.sum(dim=1).tolist() == [len(first), len(second)]
    assert prompts.real_BT[1, : len(second)].all()


def test_the_tokens_of_an_item_are_one_word() -> None:
    prompts = write_prompts(torch.tensor([[2, 0], [1, 0]]), torch.tensor([2, 1]), IDS, 0)
    start, behind = (len(text.split()) for text in TEMPLATES[0])
    first = [*range(start), start, start, start + 1, start + 1, *range(start + 2, start + 2 + behind)]
    assert prompts.words_BT[0].tolist() == first
    second = [*range(start), start, start, *range(start + 1, start + 1 + behind)]
    assert prompts.words_BT[1, : len(second)].tolist() == second


def test_pictures_stand_behind_their_items() -> None:
    prompts = write_prompts(torch.tensor([[2, 0], [1, 0]]), torch.tensor([2, 1]), IDS, 0, visual_tokens=2)
    start, behind = (len(text.split()) for text in TEMPLATES[0])
    first = [-1] * start + [-1, -1, 2, 2, -1, -1, 0, 0] + [-1] * behind
    second = [-1] * start + [-1, -1, 1, 1] + [-1] * behind
    assert prompts.items_BT.tolist() == [first, second + [-1] * 4]
    seen = prompts.items_BT >= 0
    assert prompts.slots_BT[seen].tolist() == [0, 1, 0, 1, 0, 1]
    assert (prompts.tokens_BT[seen] == START).all()
    assert len(set(prompts.words_BT[0, start : start + 4].tolist())) == 1


def test_random_ids_differ_and_forget_the_order_of_the_catalogue() -> None:
    torch.manual_seed(0)
    codes = random_codes(1000)
    assert len(np.unique(codes, axis=0)) == 1000
    assert codes.max() < 32
    rank = np.argsort(np.argsort(codes[:, 0] * 32 + codes[:, 1]))
    neighbours = np.abs(np.diff(rank))
    assert abs(np.corrcoef(rank, np.arange(1000))[0, 1]) < 0.1
    assert (neighbours == 1).mean() < 0.01  # consecutive items, consecutive numbers: what would leak


def test_every_event_but_the_first_is_a_target_once() -> None:
    targets = training_targets(Histories.from_lists([[0, 1, 2, 0], [2], [1, 2]]), max_events=2)
    assert targets.starts.tolist() == [0, 0, 1, 5]
    assert targets.lengths.tolist() == [2, 3, 3, 2]
