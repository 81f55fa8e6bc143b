import numpy as np
import pytest
import torch

from unimp.baselines.mf import MF, Factors, MFConfig
from unimp.baselines.shared.foldin import fold_in_scale
from unimp.baselines.shared.pairs import Pairs, Triples, bpr_loss, squared_norm
from unimp.data.histories import Histories
from unimp.testing.rankers import RankerContract


class TestMF(RankerContract):
    method = "mf"
    settings = {"width": 16, "lr": 0.03, "batch_events": 256, "epochs": 40, "threads": 1}  # noqa: RUF012
    floor = 0.5


def test_repeats_are_one_pair() -> None:
    pairs = Pairs.of(Histories.from_lists([[2, 0, 2], [], [1]]), 3)
    assert pairs.user_rows.tolist() == [0, 0, 2]
    assert pairs.item_rows.tolist() == [0, 2, 1]
    assert pairs.had(np.array([0, 0, 1, 2]), np.array([2, 1, 2, 1])).tolist() == [True, False, False, True]


def test_negatives_are_what_the_user_did_not_have() -> None:
    pairs = Pairs.of(Histories.from_lists([[0, 1, 2, 3], [5], [0, 1, 2, 4, 5]]), 6)
    users = np.repeat([0, 1, 2], 50)
    drawn = pairs.negatives(users, 2, np.random.default_rng(0))
    assert drawn.shape == (150, 2)
    assert not pairs.had(np.repeat(users[:, None], 2, axis=1), drawn).any()
    assert set(drawn[:50].ravel()) == {4, 5}
    assert set(drawn[100:].ravel()) == {3}


def test_someone_who_had_everything_does_not_hang() -> None:
    pairs = Pairs.of(Histories.from_lists([[0, 1]]), 2)
    assert pairs.negatives(np.array([0]), 1, np.random.default_rng(0)).shape == (1, 1)


def test_an_epoch_holds_every_pair_once() -> None:
    pairs = Pairs.of(Histories.from_lists([[0, 1, 2], [3, 4], [5]]), 8)
    batches = list(pairs.epoch(4, np.random.default_rng(0), negatives=3))
    assert [len(batch.users) for batch in batches] == [4, 2]
    keys = [key for batch in batches for key in (batch.users * 8 + batch.positives).tolist()]
    assert sorted(keys) == pairs.keys.tolist()
    assert batches[0].negatives.shape == (4, 3)


def test_bpr_loss_by_hand() -> None:
    loss = bpr_loss(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0]))
    assert loss.item() == pytest.approx((np.log1p(np.exp(-1.0)) + np.log(2.0)) / 2)


def test_squared_norm_is_half_the_squares_per_row() -> None:
    two = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    assert squared_norm(two, two).item() == pytest.approx((5 + 5) / 4)


@pytest.fixture
def tiny() -> MF:
    """One user who had item 0 and not item 1."""
    method = MF(MFConfig(width=2, l2=0.0))
    method.pairs = Pairs.of(Histories.from_lists([[0]]), 2)
    method.module = Factors(1, 2, 2)
    with torch.no_grad():
        method.module.users.weight[:] = torch.tensor([[1.0, -1.0]])
        method.module.items.weight[:] = torch.tensor([[0.5, 0.0], [0.0, 0.5]])
    return method


def test_gradients_pull_the_positive_and_push_the_negative(tiny: MF) -> None:
    batch = Triples(torch.tensor([0]), torch.tensor([0]), torch.tensor([[1]]))
    loss = tiny.loss(batch)
    loss.backward()
    # x̂_ui − x̂_uj = ½ − (−½) = 1, and d(−ln σ(x)) / dx = −σ(−x)
    assert loss.item() == pytest.approx(np.log1p(np.exp(-1.0)))
    pull = 1 / (1 + np.exp(1.0))
    expected = [[-pull, pull], [pull, -pull]]
    np.testing.assert_allclose(tiny.module.items.weight.grad, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tiny.module.users.weight.grad, [[-pull / 2, pull / 2]], rtol=1e-5, atol=1e-6)


def test_scores_sum_the_items_of_the_history_once_each() -> None:
    method = MF(MFConfig())
    method.popularity = np.ones(3, dtype=np.float32)
    items = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    method.learnt = {"readout": 3.0 * items, "items": items}
    scores = method.score(Histories.from_lists([[1, 0, 1], [2]]))
    user = 3.0 * np.array([1.0, 2.0]) / np.sqrt(2)
    np.testing.assert_allclose(scores[0], [user[0], 2 * user[1], user.sum()], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores[1], [3.0, 6.0, 6.0], rtol=1e-5, atol=1e-6)


def test_the_scale_brings_folded_users_to_trained_ones() -> None:
    pairs = Pairs.of(Histories.from_lists([[0], [0, 1]]), 2)
    items = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    folded = torch.tensor([[1.0, 0.0], [0.5**0.5, 0.5**0.5]])
    assert fold_in_scale(pairs, 2.5 * folded, items).item() == pytest.approx(2.5)
