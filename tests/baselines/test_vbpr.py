from dataclasses import replace

import numpy as np
import pytest
import torch

from unimp.baselines.shared.pairs import Pairs, Triples
from unimp.baselines.vbpr import VBPR, VBPRConfig, VisualFactors, centred
from unimp.core.errors import DataError
from unimp.data.histories import FloatArray, Histories
from unimp.testing.rankers import RankerContract
from unimp.testing.world import ToyFeatures, toy_world

QUICK = {"width": 8, "visual_width": 8, "lr": 0.03, "batch_events": 256, "epochs": 30, "threads": 1}


class TestVBPR(RankerContract):
    method = "vbpr"
    settings = QUICK
    floor = 0.55


class TestVBPROnText(RankerContract):
    method = "vbpr"
    settings = QUICK | {"content": "text", "epochs": 20}
    floor = 0.55


def test_features_are_centred_on_the_items_that_have_any() -> None:
    found = centred(np.array([[3.0, 0.0], [1.0, 0.0], [0.0, 0.0]], dtype=np.float32))
    np.testing.assert_allclose(found, [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], rtol=1e-5, atol=1e-6)


@pytest.fixture
def tiny() -> VisualFactors:
    """Two users, three items, two features."""
    torch.manual_seed(0)
    module = VisualFactors(2, torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), 3, 2)
    with torch.no_grad():
        module.bias.weight[:, 0] = torch.tensor([0.1, 0.2, 0.3])
        module.visual_bias.weight[:] = torch.tensor([[0.5, -0.5]])
    return module


def test_score_by_hand(tiny: VisualFactors) -> None:
    gamma_u, gamma_i = tiny.users.weight[1], tiny.items.weight[1]
    theta_u, projection = tiny.visual_users.weight[1], tiny.project.weight
    # f = (0, 2): E f is twice E's second column, β'·f is −1
    expected = 0.2 + gamma_u @ gamma_i + theta_u @ (2 * projection[:, 1]) - 1.0
    assert tiny.score(torch.tensor([1]), torch.tensor([1])).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_batch_of_scores_is_one_number_per_pair(tiny: VisualFactors) -> None:
    users, items = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1])
    alone = [tiny.score(users[[n]], items[[n]]).item() for n in range(3)]
    together = tiny.score(users, items)
    assert together.shape == (3,)
    np.testing.assert_allclose(together.detach(), alone, rtol=1e-5, atol=1e-6)


def test_a_folded_user_scores_as_the_formula(tiny: VisualFactors) -> None:
    method = VBPR(VBPRConfig())
    method.popularity, method.module = np.ones(3, dtype=np.float32), tiny
    method.pairs = Pairs.of(Histories.from_lists([[0], [1]]), 3)
    method.summarise()
    learnt = method.learnt
    with torch.no_grad():
        tiny.users.weight[0] = learnt["readout"][1, :3]
        tiny.visual_users.weight[0] = learnt["readout"][1, 3:]
        expected = tiny.score(torch.zeros(3, dtype=torch.int64), torch.arange(3))
    np.testing.assert_allclose(method.score(Histories.from_lists([[1]]))[0], expected, rtol=1e-5, atol=1e-6)


def test_the_prior_by_hand(tiny: VisualFactors) -> None:
    batch = Triples(torch.tensor([0]), torch.tensor([1]), torch.tensor([[2]]))
    ids = [tiny.users.weight[0], tiny.visual_users.weight[0]]
    ids += [table.weight[row] for row in (1, 2) for table in (tiny.items, tiny.bias)]
    visual = tiny.project.weight.square().sum() + tiny.visual_bias.weight.square().sum()
    expected = 0.1 * sum(part.square().sum() for part in ids) / 2 + 0.01 * visual / 2
    torch.testing.assert_close(tiny.prior(batch, 0.1, 0.01), expected)


class NoPictures(ToyFeatures):
    def image(self) -> FloatArray | None:  # type: ignore[override]
        return None


def test_without_pictures_it_says_which_column_and_what_works() -> None:
    data = replace(toy_world().training, features=NoPictures())
    with pytest.raises(DataError, match=r'VBPR: needs pictures, and column "picture".*without: pop, .*ease'):
        VBPR(VBPRConfig()).fit(data, seed=0)
    VBPR(VBPRConfig(content="text", epochs=1, threads=1)).fit(data, seed=0)
