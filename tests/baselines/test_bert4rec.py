import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unimp.baselines.bert4rec import BERT4Rec, BERT4RecConfig, draw_masks
from unimp.data.histories import Histories
from unimp.testing.rankers import RankerContract


class TestBERT4Rec(RankerContract):
    method = "bert4rec"
    settings = {  # noqa: RUF012
        "width": 16,
        "layers": 1,
        "epochs": 60,
        "patience": 60,
        "validate_every": 60,
        "dropout": 0.0,
        "mask_share": 0.6,
        "lr": 0.01,
        "threads": 1,
        "max_events": 8,
        "batch_events": 256,
    }
    again = {"epochs": 4}  # noqa: RUF012
    floor = 0.4
    order_matters = True


def test_masks_have_the_right_number_and_stay_in_their_row() -> None:
    lengths = np.array([1, 2, 5, 10] * 50)
    masked = draw_masks(lengths, 0.4, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(masked.sum(axis=1), np.array([1, 1, 2, 4] * 50))
    assert not masked[np.arange(masked.shape[1]) >= lengths[:, None]].any()


def test_every_place_is_masked_as_often() -> None:
    masked = draw_masks(np.full(20_000, 5), 0.4, 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(masked.mean(axis=0), 0.4, atol=0.02)


def test_some_rows_mask_the_last_event_alone() -> None:
    masked = draw_masks(np.full(10_000, 6), 1.0, 0.3, np.random.default_rng(0))
    alone = masked.sum(axis=1) == 1
    assert alone.mean() == pytest.approx(0.3, abs=0.02)
    assert masked[alone, -1].all()
    assert masked[~alone].all()


def test_masks_are_new_each_epoch_and_the_same_by_seed() -> None:
    lengths, random = np.full(30, 8), np.random.default_rng(1)
    first, second = (draw_masks(lengths, 0.4, 0.1, random) for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(first, draw_masks(lengths, 0.4, 0.1, np.random.default_rng(1)))


@pytest.fixture
def method() -> BERT4Rec:
    method = BERT4Rec(BERT4RecConfig(width=8, dropout=0.0, max_events=4))
    torch.manual_seed(0)
    method.module = method.build(num_items=12).eval()
    for values in method.module.parameters():
        values.data.normal_(std=0.5)
    method.popularity = np.ones(12, dtype=np.float32)
    return method


def test_loss_falls_on_masked_places_only(method: BERT4Rec) -> None:
    rows, lengths = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]), torch.tensor([4, 2])
    masked = torch.tensor([[False, True, False, True], [True, False, False, False]])
    hidden = method.module(rows, masked, lengths)
    naive = []
    for row, place in masked.nonzero().tolist():
        state = F.gelu(method.module.project(hidden[row, place]))
        logits = method.module.items.weight @ state + method.module.item_bias
        naive.append(-logits.log_softmax(0)[rows[row, place]])
    torch.testing.assert_close(method.loss(rows, masked, lengths), torch.stack(naive).mean())


def test_what_is_under_a_mask_is_not_read(method: BERT4Rec) -> None:
    masked = torch.tensor([[False, True, False]])
    states = [method.module(torch.tensor([[1, row, 3]]), masked, torch.tensor([3])) for row in (2, 9)]
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


def test_both_sides_are_read_and_padding_is_not(method: BERT4Rec) -> None:
    masked, lengths = torch.tensor([[False, True, False, False]]), torch.tensor([3])
    rows = ([1, 2, 3, 0], [7, 2, 3, 0], [1, 2, 7, 0], [1, 2, 3, 7])
    states = [method.module(torch.tensor([row]), masked, lengths)[0, 1] for row in rows]
    assert not torch.allclose(states[0], states[1])
    assert not torch.allclose(states[0], states[2])
    torch.testing.assert_close(states[0], states[3])


def test_scoring_puts_the_mask_behind_the_latest_events(method: BERT4Rec) -> None:
    scores = method.score(Histories.from_lists([[9, 1, 2, 3, 4], [5]]))
    for user, items in enumerate(([1, 2, 3, 4], [5])):
        rows = torch.tensor([[*items, 0]])
        masked = torch.arange(len(items) + 1)[None] == len(items)
        hidden = method.module(rows, masked, torch.tensor([len(items) + 1]))[0, -1]
        state = F.gelu(method.module.project(hidden))
        expected = method.module.items.weight @ state + method.module.item_bias
        np.testing.assert_allclose(scores[user], expected.detach().numpy(), rtol=1e-4, atol=1e-5)
