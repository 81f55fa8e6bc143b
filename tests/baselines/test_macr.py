import numpy as np
import pytest
import torch

from unimp.baselines.macr import MACR, MACRConfig, ThreeBranches
from unimp.baselines.shared.pairs import Pairs, Triples
from unimp.data.histories import Histories
from unimp.testing.rankers import RankerContract
from unimp.testing.world import toy_world

QUICK = {"width": 16, "lr": 0.03, "batch_events": 256, "epochs": 30, "threads": 1}


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


class TestMACR(RankerContract):
    method = "macr"
    settings = QUICK
    floor = 0.5


@pytest.fixture
def tiny() -> MACR:
    """One user, two items, one dimension: w = 2, h = (0.5, 1), gates σ(3h + 1) and σ(-w + 0.5)."""
    method = MACR(MACRConfig(width=1, item_branch=0.1, user_branch=0.2, l2=0.0, reference=0.7))
    method.popularity = np.ones(2, dtype=np.float32)
    method.pairs = Pairs.of(Histories.from_lists([[0]]), 2)
    method.module = ThreeBranches(1, 2, 1)
    with torch.no_grad():
        method.module.users.weight[:] = 2.0
        method.module.items.weight[:, 0] = torch.tensor([0.5, 1.0])
        method.module.read_item.weight[:], method.module.read_item.bias[:] = 3.0, 1.0
        method.module.read_user.weight[:], method.module.read_user.bias[:] = -1.0, 0.5
    return method


def test_three_branches_and_their_losses_by_hand(tiny: MACR) -> None:
    loss = tiny.loss(Triples(torch.tensor([0]), torch.tensor([0]), torch.tensor([[1]])))
    user = -2.0 + 0.5
    expected = 0.0
    for item, sign in ((0.5, 1.0), (1.0, -1.0)):
        fused = 2.0 * item * sigmoid(3 * item + 1) * sigmoid(user)
        expected -= np.log(sigmoid(sign * fused))
        expected -= 0.1 * np.log(sigmoid(sign * (3 * item + 1)))
        expected -= 0.2 * np.log(sigmoid(sign * user))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_counterfactual_is_taken_out(tiny: MACR) -> None:
    tiny.summarise()
    scores = tiny.score(Histories.from_lists([[0]]))[0]
    # The scale brings h_0 = 0.5 to w = 2: the folded user is the trained one.
    expected = [(2.0 * item - 0.7) * sigmoid(3 * item + 1) * sigmoid(-1.5) for item in (0.5, 1.0)]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def test_the_reference_is_chosen_on_validation_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "unimp.baselines.shared.neural.NeuralBaseline.validate",
        lambda self, data: -abs(float(self.learnt["reference"]) - 2.0),
    )
    method = MACR(MACRConfig(width=4, epochs=1, references=(0.0, 2.0, 8.0), threads=1))
    method.fit(toy_world().training, seed=0)
    assert method.arrays()["reference"].tolist() == [2.0]


def test_a_given_reference_is_not_tuned() -> None:
    method = MACR(MACRConfig(width=4, epochs=1, reference=3.0, threads=1))
    method.fit(toy_world().training, seed=0)
    assert method.arrays()["reference"].tolist() == [3.0]
