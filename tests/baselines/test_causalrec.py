import numpy as np
import pytest
import torch

from unimp.baselines.causalrec import CausalFactors, CausalRec, CausalRecConfig, fuse
from unimp.baselines.shared.pairs import Pairs, Triples
from unimp.data.histories import Histories
from unimp.testing.rankers import RankerContract


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


class TestCausalRec(RankerContract):
    method = "causalrec"
    settings = {  # noqa: RUF012
        "width": 8,
        "visual_width": 8,
        "lr": 0.03,
        "batch_events": 256,
        "epochs": 30,
        "threads": 1,
    }
    floor = 0.5


@pytest.fixture
def tiny() -> CausalRec:
    """One user, two items, everything one-dimensional: γ_u = 2, θ_u = 1, γ_i = (1, 3), f = (1, −1)."""
    method = CausalRec(CausalRecConfig(width=1, visual_width=1, l2=0.0, visual_l2=0.01))
    method.popularity = np.ones(2, dtype=np.float32)
    method.pairs = Pairs.of(Histories.from_lists([[0]]), 2)
    method.module = CausalFactors(1, torch.tensor([[1.0], [-1.0]]), 1, 1)
    with torch.no_grad():
        method.module.users.weight[:] = 2.0
        method.module.visual_users.weight[:] = 1.0
        method.module.items.weight[:, 0] = torch.tensor([1.0, 3.0])
        method.module.bias.weight[:, 0] = torch.tensor([0.2, 0.4])
        method.module.project.weight[:] = 0.5
        method.module.visual_bias.weight[:] = 0.1
        method.module.mediate.weight[:] = 0.25
    return method


MATCH = (0.2 + 2 * 1 * 1.25, 0.4 + 2 * 3 * 0.75)
VISUAL = (1 * 0.5 + 0.1, -1 * 0.5 - 0.1)


def test_both_effects_by_hand(tiny: CausalRec) -> None:
    match, visual = tiny.module.effects(torch.tensor([0, 0]), torch.tensor([0, 1]))
    np.testing.assert_allclose(match.detach(), MATCH, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(visual.detach(), VISUAL, rtol=1e-5, atol=1e-6)


def test_fusion_by_hand() -> None:
    found = fuse(torch.tensor(1.0), torch.tensor(-0.5)).item()
    assert found == pytest.approx(sigmoid(0.5) * sigmoid(1.0) * sigmoid(-0.5))


def test_loss_is_bpr_over_the_fusion_and_both_effects(tiny: CausalRec) -> None:
    loss = tiny.loss(Triples(torch.tensor([0]), torch.tensor([0]), torch.tensor([[1]])))
    fused = [sigmoid(m + n) * sigmoid(m) * sigmoid(n) for m, n in zip(MATCH, VISUAL, strict=True)]
    fit = -sum(np.log(sigmoid(a - b)) for a, b in (fused, MATCH, VISUAL))
    expected = fit + 0.01 * (0.5**2 + 0.1**2 + 0.25**2) / 2  # E, β' and E_m
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_ranking_takes_the_direct_effect_out(tiny: CausalRec) -> None:
    tiny.summarise()
    scores = tiny.score(Histories.from_lists([[0]]))[0]
    # The scales bring item 0's read-outs to γ_u = 2 and θ_u = 1; the mean item has γ = 2, β = .3, f = 0.
    usual = 0.3 + 2 * 2
    expected = [
        sigmoid(m + n) * sigmoid(m) * sigmoid(n) - sigmoid(usual + n) * sigmoid(usual) * sigmoid(n)
        for m, n in zip(MATCH, VISUAL, strict=True)
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_without_the_subtraction_the_fusion_ranks(tiny: CausalRec) -> None:
    tiny.summarise()
    tiny.config = CausalRecConfig(width=1, visual_width=1, effect=0.0)
    scores = tiny.score(Histories.from_lists([[0]]))[0]
    expected = [sigmoid(m + n) * sigmoid(m) * sigmoid(n) for m, n in zip(MATCH, VISUAL, strict=True)]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
