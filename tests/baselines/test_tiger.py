from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from unimp.baselines.tiger import TIGER, TIGERConfig
from unimp.core.errors import DataError
from unimp.data.histories import FloatArray, Histories
from unimp.testing.rankers import RankerContract
from unimp.testing.world import ToyFeatures, toy_world


class TestTIGER(RankerContract):
    method = "tiger"
    settings = {  # noqa: RUF012
        "width": 16,
        "layers": 1,
        "epochs": 30,
        "patience": 30,
        "validate_every": 30,
        "dropout": 0.0,
        "lr": 0.01,
        "threads": 1,
        "max_events": 8,
        "batch_events": 256,
        "quantiser": {"levels": 2, "codes": 8, "epochs": 50, "hidden": 32, "width": 8},
    }
    again = {"epochs": 2}  # noqa: RUF012
    floor = 0.45
    order_matters = True


CODES = torch.tensor([[1, 2, 0], [0, 0, 0], [1, 2, 1], [1, 0, 0], [0, 1, 0], [2, 1, 0]])


@pytest.fixture
def method() -> TIGER:
    method = TIGER(TIGERConfig(width=8, layers=2, heads=2, dropout=0.0, max_events=5, beam=50))
    torch.manual_seed(0)
    method.codes = CODES
    method.module = method.build(num_items=6).eval()
    for values in method.module.parameters():
        values.data.normal_(std=0.4)
    method.popularity = np.ones(6, dtype=np.float32)
    return method


def log_probability(method: TIGER, history: list[int], item: int) -> torch.Tensor:
    """Sum over the item's codes of log p, one code at a time, the history read alone."""
    memory, latest = method.module.read(torch.tensor([history])), torch.tensor([[len(history) - 1]])
    total = torch.zeros(())
    for level in range(3):
        states = method.module.decode(CODES[item, :level][None, None], memory, latest)
        total = total + method.module.outputs[level](states[0, 0, -1]).log_softmax(0)[CODES[item, level]]
    return total


def test_loss_is_the_mean_over_all_prefixes(method: TIGER) -> None:
    rows = torch.tensor([[1, 2, 3, 4], [5, 0, 0, 0]])
    found = method.loss(rows, torch.tensor([3, 1]))
    naive = [-log_probability(method, [1, 2, 3, 4][:stop], [1, 2, 3, 4][stop]) for stop in (1, 2, 3)]
    naive.append(-log_probability(method, [5], 0))
    torch.testing.assert_close(found, torch.stack(naive).mean())


def test_a_wide_beam_gives_every_items_log_probability(method: TIGER) -> None:
    scores = method.score(Histories.from_lists([[1, 2, 3], [4]]))
    for (user, history), item in product(enumerate(([1, 2, 3], [4])), range(6)):
        expected = log_probability(method, history, item)
        assert scores[user, item] == pytest.approx(expected.item(), abs=1e-4)


def test_a_narrow_beam_keeps_the_best_and_puts_the_others_behind(method: TIGER) -> None:
    wide = method.score(Histories.from_lists([[1, 2, 3]]))[0]
    method.config = method.config.model_copy(update={"beam": 2})
    narrow = method.score(Histories.from_lists([[1, 2, 3]]))[0]
    reached = narrow > narrow.max() - 50
    assert reached.sum() <= 2
    np.testing.assert_allclose(narrow[reached], wide[reached], atol=1e-4)
    assert np.isfinite(narrow).all()
    first = CODES[:, 0].numpy()
    for a, b in product(np.flatnonzero(~reached), repeat=2):
        assert (narrow[a] == narrow[b]) == (first[a] == first[b])


def test_a_later_event_never_moves_what_was_read_before(method: TIGER) -> None:
    before = method.module.read(torch.tensor([[1, 2, 3]]))
    after = method.module.read(torch.tensor([[1, 2, 5]]))
    torch.testing.assert_close(before[:, :6], after[:, :6], rtol=0, atol=0)
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_an_items_codes_see_each_other(method: TIGER) -> None:
    # Items 0 and 2 differ in their last code only; the state at their first code tells.
    before, after = (method.module.read(torch.tensor([[1, row]]))[0, 3] for row in (0, 2))
    assert not torch.allclose(before, after)


def test_segments_do_not_see_each_other(method: TIGER) -> None:
    memory, latest = method.module.read(torch.tensor([[1, 2, 3]])), torch.tensor([[1, 1]])
    one = method.module.decode(torch.tensor([[[0, 1], [1, 2]]]), memory, latest)
    other = method.module.decode(torch.tensor([[[2, 1], [1, 2]]]), memory, latest)
    torch.testing.assert_close(one[:, 1], other[:, 1], rtol=0, atol=0)


def test_segments_that_grow_are_those_that_are_decoded_whole(method: TIGER) -> None:
    memory, latest = method.module.read(torch.tensor([[1, 2, 3], [4, 5, 0]])), torch.tensor([2, 1])
    segments = method.module.begin(memory, latest)
    method.module.grow(segments, torch.zeros((2, 1), dtype=torch.long))
    segments.follow(torch.zeros((2, 2), dtype=torch.long))
    method.module.grow(segments, torch.tensor([[0, 1], [1, 2]]))
    segments.follow(torch.tensor([[1, 0], [1, 1]]))
    grown = method.module.grow(segments, torch.tensor([[0, 2], [1, 0]]))
    codes = torch.tensor([[[1, 0], [0, 2]], [[2, 1], [2, 0]]])
    whole = method.module.decode(codes, memory, latest[:, None].expand(2, 2))[:, :, -1]
    torch.testing.assert_close(grown, whole)


def test_users_beyond_one_batch_are_scored_by_length(method: TIGER) -> None:
    rows = [[1, 2, 3], [4], [], [5, 0], [2], [3, 3, 3, 3]]
    method.users_at_once = 2  # type: ignore[misc]
    together = method.score(Histories.from_lists(rows))
    for user, row in enumerate(rows):
        np.testing.assert_allclose(together[user], method.score(Histories.from_lists([row]))[0], atol=1e-4)


class NoText(ToyFeatures):
    def text(self) -> FloatArray | None:  # type: ignore[override]
        return None


def test_without_text_it_says_what_is_missing() -> None:
    data = replace(toy_world().training, features=NoText())
    with pytest.raises(DataError, match=r"TIGER: needs text.*without: pop"):
        TIGER(TIGERConfig()).fit(data, seed=0)
