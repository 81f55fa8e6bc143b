import numpy as np
import pytest
import torch

from unimp.baselines.mf import Factors
from unimp.baselines.shared.pairs import Pairs, Triples
from unimp.baselines.ultragcn import UltraGCN, UltraGCNConfig, degree_factors, item_neighbours
from unimp.data.histories import Histories
from unimp.testing.rankers import RankerContract
from unimp.testing.world import toy_world

LISTS = [[0, 1], [0, 1, 2], [0]]
"""d_u = 2, 3, 1; d_i = 3, 2, 1, 0. G = [[3, 2, 1], [2, 2, 1], [1, 1, 1]]: g = 6, 5, 3."""


class TestUltraGCN(RankerContract):
    method = "ultragcn"
    settings = {  # noqa: RUF012
        "width": 16,
        "lr": 0.03,
        "batch_events": 256,
        "epochs": 30,
        "negatives": 10,
        "threads": 1,
    }
    floor = 0.5


@pytest.fixture
def pairs() -> Pairs:
    return Pairs.of(Histories.from_lists(LISTS), 4)


def test_beta_by_hand(pairs: Pairs) -> None:
    users, items = degree_factors(pairs)
    assert users[0] * items[0] == pytest.approx(1 / 2 * np.sqrt(3 / 4))
    assert users[1] * items[2] == pytest.approx(1 / 3 * np.sqrt(4 / 2))
    assert users[2] * items[3] == pytest.approx(1 / 1 * np.sqrt(2 / 1))


def test_omega_by_hand(pairs: Pairs) -> None:
    rows, omega = item_neighbours(pairs, 2)
    weight = {
        (item, other): w
        for item in range(4)
        for other, w in zip(rows[item], omega[item], strict=True)
        if w > 0
    }
    expected = {
        (0, 1): 2 / (6 - 3) * np.sqrt(6 / 5),
        (0, 2): 1 / (6 - 3) * np.sqrt(6 / 3),
        (1, 0): 2 / (5 - 2) * np.sqrt(5 / 6),
        (1, 2): 1 / (5 - 2) * np.sqrt(5 / 3),
        (2, 0): 1 / (3 - 1) * np.sqrt(3 / 6),
        (2, 1): 1 / (3 - 1) * np.sqrt(3 / 5),
    }
    assert weight == pytest.approx(expected)


def test_only_the_largest_neighbours_are_kept(pairs: Pairs) -> None:
    rows, omega = item_neighbours(pairs, 1)
    assert rows[:3, 0].tolist() == [1, 0, 1]
    assert omega[3].tolist() == [0.0]


def test_loss_by_hand(pairs: Pairs) -> None:
    config = UltraGCNConfig(
        width=1, negative_weight=3.0, constraint=0.5, item_graph=2.0, neighbours=1, l2=0.0
    )
    method = UltraGCN(config)
    method.pairs = pairs
    method.prepare(toy_world().training)
    method.module = Factors(3, 4, 1)
    with torch.no_grad():
        method.module.users.weight[:, 0] = torch.tensor([1.0, 2.0, 3.0])
        method.module.items.weight[:, 0] = torch.tensor([0.5, -0.5, 1.0, -1.0])
    batch = Triples(torch.tensor([0]), torch.tensor([0]), torch.tensor([[2, 3]]))

    def softplus(x: float) -> float:
        return float(np.log1p(np.exp(x)))

    user, item = degree_factors(pairs)
    positive = (1 + 0.5 * user[0] * item[0]) * softplus(-0.5)
    first = (1 + 0.5 * user[0] * item[2]) * softplus(1.0)
    second = (1 + 0.5 * user[0] * item[3]) * softplus(-1.0)
    near = 2 / 3 * np.sqrt(6 / 5) * softplus(0.5)  # item 0's neighbour is item 1
    expected = positive + 3.0 * (first + second) / 2 + 2.0 * near
    assert method.loss(batch).item() == pytest.approx(expected, rel=1e-5)


def test_the_history_is_folded_in_by_beta(pairs: Pairs) -> None:
    method = UltraGCN(UltraGCNConfig(width=2))
    method.popularity, method.pairs = np.ones(4, dtype=np.float32), pairs
    method.prepare(toy_world().training)
    torch.manual_seed(0)
    method.module = Factors(3, 4, 2)
    method.summarise()
    items = method.module.items.weight.detach()
    user = (items[0] / 4**0.5 + items[2] / 2**0.5) / 2**0.5
    np.testing.assert_allclose(
        method.score(Histories.from_lists([[0, 2]]))[0], items @ user, rtol=1e-5, atol=1e-6
    )
