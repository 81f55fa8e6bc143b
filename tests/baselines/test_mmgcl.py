from dataclasses import replace

import numpy as np
import pytest
import torch

from unimp.baselines.mmgcl import MMGCL, MMGCLConfig, contrast_loss, replace_channel
from unimp.baselines.shared.bipartite import layer_mean
from unimp.baselines.shared.pairs import Pairs, Triples
from unimp.core.errors import DataError
from unimp.testing.rankers import RankerContract
from unimp.testing.world import ToyFeatures, toy_world

QUICK = {"width": 16, "layers": 2, "lr": 0.01, "batch_events": 512, "epochs": 15, "threads": 1}


class TestMMGCL(RankerContract):
    method = "mmgcl"
    settings = QUICK
    floor = 0.5


def test_contrast_by_hand() -> None:
    users = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    items = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    hard = torch.tensor([[0.0, 5.0], [0.0, -1.0]])
    half = 0.5**0.5  # cosines: user 0 has 1 and ½√2, her challenging negative 0; user 1 has 0, ½√2 and −1
    first = -np.log(np.exp(2.0) / (np.exp(2.0) + np.exp(2 * half) + 1))
    second = -np.log(np.exp(2 * half) / (1 + np.exp(2 * half) + np.exp(-2.0)))
    loss = contrast_loss(users, items, hard, temperature=0.5)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_a_channel_is_replaced_in_its_place() -> None:
    wide = torch.arange(6.0)[None]
    found = replace_channel(wide, torch.tensor([[9.0, 9.0]]), 1)
    assert found.tolist() == [[0.0, 1.0, 9.0, 9.0, 4.0, 5.0]]


@pytest.fixture
def prepared() -> MMGCL:
    data = toy_world().training
    method = MMGCL(MMGCLConfig(width=4, layers=2, edge_dropout=0.5, masking=0.3))
    method.popularity = np.ones(61, dtype=np.float32)
    method.pairs = Pairs.of(data.train, 61)
    method.prepare(data)
    torch.manual_seed(0)
    method.module = method.build(61)
    return method


def test_channels_side_by_side_are_propagated_as_if_alone(prepared: MMGCL) -> None:
    channels = prepared.module.channels()
    users, items = prepared.propagate(prepared.graph, channels)
    for place, channel in enumerate(channels):
        layers = prepared.graph.layers(prepared.module.users.weight, channel, 2)
        own = slice(4 * place, 4 * place + 4)
        torch.testing.assert_close(users[:, own], layer_mean([layer[0] for layer in layers]))
        torch.testing.assert_close(items[:, own], layer_mean([layer[1] for layer in layers]))


def test_views_lack_edges_and_nodes(prepared: MMGCL) -> None:
    whole = prepared.graph.items_to_users.to_dense() > 0
    fewer = prepared.without_edges(np.random.default_rng(0)).items_to_users.to_dense() > 0
    assert not (fewer & ~whole).any()
    assert 0.4 < fewer.sum() / whole.sum() < 0.6
    masked = prepared.without_nodes(np.random.default_rng(0)).items_to_users.to_dense() > 0
    for axis in (0, 1):  # a node keeps none of its edges, or all of those to nodes that are left
        lost = whole.any(axis) & ~masked.any(axis)
        assert 0.1 < lost.float().mean() < 0.6


def test_the_loss_is_bpr_and_both_views(prepared: MMGCL) -> None:
    batch = Triples(torch.tensor([0, 1]), torch.tensor([0, 10]), torch.tensor([[20], [30]]))
    graph = prepared.graph
    total = prepared.loss(batch, graph, graph, 1, (1, 2))
    users, items = prepared.propagate(graph, prepared.module.channels())
    module = prepared.module
    own = module.read_user(users[batch.users])
    scores = [
        (own * module.read_item(items[rows])).sum(1) for rows in (batch.positives, batch.negatives[:, 0])
    ]
    expected = -torch.nn.functional.logsigmoid(scores[0] - scores[1]).mean()
    for channel in (1, 2):
        expected = expected + 0.4 * prepared.view_loss(users, items, batch, channel)
    ids = [module.users.weight[:2], module.items.weight[[0, 10]], module.items.weight[[20, 30]]]
    expected = expected + prepared.config.l2 * sum(part.square().sum() for part in ids) / 4
    torch.testing.assert_close(total, expected)


def test_the_folded_score_is_the_network_without_the_users_layer_0(prepared: MMGCL) -> None:
    train = toy_world().training.train
    prepared.summarise()
    module = prepared.module
    with torch.no_grad():
        channels = module.channels()
        start = module.users.weight.repeat(1, 3)
        layers = prepared.graph.layers(start, torch.cat(channels, 1), 2)
        users = sum(layer[0] for layer in layers[1:]) / 3
        expected = module.read_user(users) @ module.read_item(layer_mean([layer[1] for layer in layers])).T
    np.testing.assert_allclose(prepared.score(train), expected, rtol=1e-3, atol=1e-5)


class NoText(ToyFeatures):
    def text(self) -> None:  # type: ignore[override]
        return None


def test_a_missing_modality_is_named_and_can_be_left_out() -> None:
    data = replace(toy_world().training, features=NoText())
    with pytest.raises(DataError, match="MMGCL: needs text, and no text or category column"):
        MMGCL(MMGCLConfig()).fit(data, seed=0)
    MMGCL(MMGCLConfig(modalities=("image",), width=8, epochs=1, threads=1)).fit(data, seed=0)
