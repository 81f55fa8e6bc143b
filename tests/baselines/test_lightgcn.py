import numpy as np
import pytest
import torch

from unimp.baselines.lightgcn import LightGCN, LightGCNConfig
from unimp.baselines.mf import Factors
from unimp.baselines.shared.bipartite import Bipartite, layer_mean
from unimp.baselines.shared.pairs import Pairs
from unimp.data.histories import Histories
from unimp.testing.rankers import RankerContract


class TestLightGCN(RankerContract):
    method = "lightgcn"
    settings = {"width": 16, "lr": 0.03, "batch_events": 256, "epochs": 20, "threads": 1}  # noqa: RUF012
    floor = 0.5


PATH = Histories.from_lists([[0], [0, 1]])
"""Two users, two items: user 0 – item 0 – user 1 – item 1."""
HALF = 0.5**0.5


def test_edges_weigh_one_over_the_root_of_both_degrees() -> None:
    graph = Bipartite.of_pairs(Pairs.of(PATH, 2))
    np.testing.assert_allclose(graph.items_to_users.to_dense(), [[HALF, 0], [0.5, HALF]], rtol=1e-5)
    np.testing.assert_allclose(graph.users_to_items.to_dense(), [[HALF, 0.5], [0, HALF]], rtol=1e-5)


def test_means_weigh_one_over_the_receiver() -> None:
    graph = Bipartite.of_pairs(Pairs.of(PATH, 2), norm="mean")
    np.testing.assert_allclose(graph.items_to_users.to_dense(), [[1, 0], [0.5, 0.5]], rtol=1e-5)
    np.testing.assert_allclose(graph.users_to_items.to_dense(), [[0.5, 0.5], [0, 1]], rtol=1e-5)


@pytest.mark.parametrize("norm", ["symmetric", "mean"])
def test_gradients_go_back_along_the_same_edges(norm: str) -> None:
    graph = Bipartite.of_pairs(Pairs.of(Histories.from_lists([[0, 2], [1], [0, 1, 2]]), 3), norm=norm)
    random = torch.Generator().manual_seed(0)
    items = torch.randn(3, 2, generator=random, requires_grad=True)
    weights = torch.randn(3, 2, generator=random)
    (found,) = torch.autograd.grad((graph.to_items(graph.to_users(items)) * weights).sum(), items)
    dense = graph.users_to_items.to_dense() @ graph.items_to_users.to_dense()
    torch.testing.assert_close(found, dense.T @ weights)


def test_two_layers_and_their_mean_by_hand() -> None:
    graph = Bipartite.of_pairs(Pairs.of(PATH, 2))
    users, items = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])
    layers = graph.layers(users, items, 2)
    u1 = [3 * HALF, 3 / 2 + 4 * HALF]
    i1 = [HALF + 2 / 2, 2 * HALF]
    u2 = [i1[0] * HALF, i1[0] / 2 + i1[1] * HALF]
    np.testing.assert_allclose(layers[1][0][:, 0], u1, rtol=1e-5)
    np.testing.assert_allclose(layers[1][1][:, 0], i1, rtol=1e-5)
    np.testing.assert_allclose(layers[2][0][:, 0], u2, rtol=1e-5)
    mean = layer_mean([layer[0] for layer in layers])[:, 0]
    np.testing.assert_allclose(mean, [(1 + u1[0] + u2[0]) / 3, (2 + u1[1] + u2[1]) / 3], rtol=1e-5)


def test_a_training_users_own_history_gives_the_papers_score_but_for_layer_0() -> None:
    random = np.random.default_rng(0)
    lists = [sorted(random.choice(8, size=4, replace=False).tolist()) for _ in range(6)]
    histories = Histories.from_lists(lists)
    method = LightGCN(LightGCNConfig(width=3, layers=2))
    method.popularity = np.ones(8, dtype=np.float32)
    method.pairs = Pairs.of(histories, 8)
    method.graph = Bipartite.of_pairs(method.pairs)
    torch.manual_seed(0)
    method.module = Factors(6, 8, 3)
    method.summarise()
    layers = method.graph.layers(method.module.users.weight, method.module.items.weight, 2)
    users = (layers[1][0] + layers[2][0]) / 3
    items = layer_mean([layer[1] for layer in layers])
    np.testing.assert_allclose(method.score(histories), (users @ items.T).detach(), rtol=1e-4, atol=1e-5)
