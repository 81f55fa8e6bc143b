import math

import pytest
import torch
from tests.baselines.quick import QUICK

from unimp.baselines.gru4rec import GRU4Rec, GRU4RecConfig, bpr_max
from unimp.testing.rankers import RankerContract, fit_once

SMALL = QUICK | {"negatives": 32}


class TestGRU4Rec(RankerContract):
    method = "gru4rec"
    settings = SMALL
    floor = 0.6
    order_matters = True


class TestGRU4RecCrossEntropy(RankerContract):
    method = "gru4rec-ce"
    settings = {**SMALL, "epochs": 45, "patience": 45}  # noqa: RUF012
    floor = 0.5
    order_matters = True


def naive_bpr_max(own: float, others: list[float], penalty: float) -> float:
    mass = sum(math.exp(score) for score in others)
    won = sum(math.exp(score) / mass / (1 + math.exp(score - own)) for score in others)
    size = sum(math.exp(score) / mass * score**2 for score in others)
    return -math.log(won) + penalty * size


def test_bpr_max_against_a_loop() -> None:
    own, scores = [0.3, -1.2, 2.0], [[0.5, 0.1, -2.0, 1.0], [0.0, 0.7, 0.2, -0.4], [1.5, 2.5, -1.0, 0.3]]
    left_out = [[False, True, False, False], [False] * 4, [True, False, False, True]]
    naive = [
        naive_bpr_max(o, [s for s, gone in zip(row, flags, strict=True) if not gone], 0.7)
        for o, row, flags in zip(own, scores, left_out, strict=True)
    ]
    found = bpr_max(torch.tensor(own), torch.tensor(scores), torch.tensor(left_out), 0.7)
    assert found.item() == pytest.approx(sum(naive) / 3, rel=1e-5)


def test_bpr_max_stays_finite_where_the_target_is_far_behind() -> None:
    found = bpr_max(torch.tensor([-200.0]), torch.tensor([[200.0]]), torch.tensor([[False]]), 0.0)
    assert torch.isfinite(found)


@pytest.fixture
def method() -> GRU4Rec:
    method = GRU4Rec(GRU4RecConfig(width=8, dropout=0.0, negatives=5, max_events=6))
    torch.manual_seed(2)
    method.module = method.build(num_items=12)
    return method


def test_negatives_are_the_other_targets_and_the_drawn_ones(method: GRU4Rec) -> None:
    hidden, targets = torch.randn(3, 8), torch.tensor([4, 9, 4])
    torch.manual_seed(7)
    found = method.position_loss(hidden, targets)
    torch.manual_seed(7)
    drawn = torch.multinomial(method.module.drawing, 5, replacement=True).tolist()
    scores = (hidden @ method.module.items.weight.T).tolist()
    naive = []
    for row, target in enumerate(targets.tolist()):
        others = [item for item in [*targets.tolist(), *drawn] if item != target]
        naive.append(naive_bpr_max(scores[row][target], [scores[row][item] for item in others], 1.0))
    assert found.item() == pytest.approx(sum(naive) / 3, rel=1e-5)


def test_negatives_are_drawn_by_popularity_to_the_power() -> None:
    fitted = fit_once(TestGRU4Rec)
    assert isinstance(fitted, GRU4Rec)
    expected = torch.from_numpy(fitted.popularity).clamp(min=1e-3) ** 0.75
    torch.testing.assert_close(fitted.module.drawing, expected)


def test_loss_sees_every_prefix_and_no_padding(method: GRU4Rec) -> None:
    method.config = GRU4RecConfig(width=8, dropout=0.0, loss="cross-entropy", max_events=6)
    rows = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    found = method.loss(rows, torch.tensor([3, 1]))
    naive = []
    for items in ([1, 2, 3, 4], [5, 6]):
        for stop in range(1, len(items)):
            logits = method.module(torch.tensor([items[:stop]]))[0, -1] @ method.module.items.weight.T
            naive.append(-logits.log_softmax(0)[items[stop]])
    torch.testing.assert_close(found, torch.stack(naive).mean())
