import math

import numpy as np
import pytest
import torch

from unimp.baselines.baseline import TrainingData
from unimp.baselines.s3rec import S3Rec, S3RecConfig, S3RecPretraining
from unimp.baselines.shared.attributes import attribute_matrix
from unimp.baselines.shared.s3rec_views import PretrainingViews, draw_absent, draw_segments, draw_views
from unimp.baselines.shared.sequences import training_windows
from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.histories import Histories
from unimp.testing.rankers import RankerContract
from unimp.testing.world import toy_catalog, toy_world

SMALL = {
    "width": 16,
    "layers": 1,
    "epochs": 30,
    "patience": 30,
    "validate_every": 10,
    "pretrain_epochs": 5,
    "dropout": 0.1,
    "lr": 0.01,
    "threads": 1,
    "max_events": 8,
    "batch_events": 256,
}


class TestS3Rec(RankerContract):
    method = "s3rec"
    settings = SMALL
    again = {"epochs": 2, "pretrain_epochs": 1}  # noqa: RUF012
    floor = 0.6
    order_matters = True


class TestS3RecPairwise(RankerContract):
    method = "s3rec"
    settings = {**SMALL, "loss": "pairwise"}  # noqa: RUF012
    again = {"epochs": 2, "pretrain_epochs": 1}  # noqa: RUF012
    floor = 0.55
    order_matters = True


@pytest.fixture
def pretraining() -> S3RecPretraining:
    torch.manual_seed(0)
    config = S3RecConfig(width=4, layers=1, max_events=6, dropout=0.0)
    network = S3Rec(config).build(num_items=9)
    attributes = np.random.default_rng(0).integers(0, 2, (9, 3)).astype(np.float32)
    pretraining = S3RecPretraining(config, network, attributes).eval()
    for values in pretraining.parameters():
        values.data.normal_(std=0.7)
    return pretraining


@pytest.fixture
def views() -> PretrainingViews:
    """Two histories, of four events and of two."""
    yes, no = True, False
    return PretrainingViews(
        rows_BT=torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]),
        lengths_B=torch.tensor([4, 2]),
        masked_BT=torch.tensor([[no, yes, no, yes], [yes, no, no, no]]),
        negatives_BT=torch.tensor([[8, 7, 8, 5], [1, 2, 0, 0]]),
        segment_BT=torch.tensor([[no, yes, yes, no], [no, yes, no, no]]),
        other_rows_BT=torch.tensor([[0, 7, 8, 0], [0, 3, 0, 0]]),
    )


def cross_entropy(logit: float, truth: float) -> float:
    probability = 1 / (1 + math.exp(-logit))
    return -math.log(probability if truth else 1 - probability)


def margin_loss(margin: float) -> float:
    return math.log1p(math.exp(-margin))


def masked_states(
    pretraining: S3RecPretraining, views: PretrainingViews
) -> list[tuple[int, int, torch.Tensor]]:
    """Row, place and state of every masked event, each history encoded by itself."""
    found = []
    for row, length in enumerate(views.lengths_B.tolist()):
        rows, masked = views.rows_BT[row : row + 1, :length], views.masked_BT[row : row + 1, :length]
        states = pretraining.network.both_sides(rows, masked, torch.tensor([length]))[0]
        found += [(row, place, states[place]) for place in range(length) if masked[0, place]]
    return found


@torch.no_grad()
def test_item_attributes_against_a_loop(pretraining: S3RecPretraining) -> None:
    weight, items = pretraining.item_attribute.weight, pretraining.network.items.weight
    naive = sum(
        cross_entropy(
            float(pretraining.attributes.weight[a] @ weight @ items[i]), float(pretraining.has_IA[i, a])
        )
        for i in (1, 3, 6)
        for a in range(3)
    )
    found = pretraining.item_attributes(torch.tensor([1, 3, 6]))
    assert found.item() == pytest.approx(naive, rel=1e-4)


@torch.no_grad()
def test_masked_items_against_a_loop(pretraining: S3RecPretraining, views: PretrainingViews) -> None:
    weight, items = pretraining.state_item.weight, pretraining.network.items.weight
    naive, states = 0.0, []
    for row, place, state in masked_states(pretraining, views):
        own, other = views.rows_BT[row, place], views.negatives_BT[row, place]
        naive += margin_loss(float((weight @ state) @ (items[own] - items[other])))
        states.append(state)
    masked = views.masked_BT
    found = pretraining.masked_items(torch.stack(states), views.rows_BT[masked], views.negatives_BT[masked])
    assert found.item() == pytest.approx(naive, rel=1e-4)


@torch.no_grad()
def test_masked_attributes_against_a_loop(pretraining: S3RecPretraining, views: PretrainingViews) -> None:
    naive, states = 0.0, []
    for row, place, state in masked_states(pretraining, views):
        item = views.rows_BT[row, place]
        for a in range(3):
            logit = float(pretraining.attributes.weight[a] @ pretraining.state_attribute.weight @ state)
            naive += cross_entropy(logit, float(pretraining.has_IA[item, a]))
        states.append(state)
    found = pretraining.masked_attributes(torch.stack(states), views.rows_BT[views.masked_BT])
    assert found.item() == pytest.approx(naive, rel=1e-4)


@torch.no_grad()
def test_segments_against_a_loop(pretraining: S3RecPretraining, views: PretrainingViews) -> None:
    naive = 0.0
    for row, length in enumerate(views.lengths_B.tolist()):
        rows, inside = views.rows_BT[row : row + 1, :length], views.segment_BT[row : row + 1, :length]
        other, size = views.other_rows_BT[row : row + 1, :length], torch.tensor([length])
        around = pretraining.network.both_sides(rows, inside, size)[0, -1]
        true = pretraining.network.both_sides(rows, ~inside, size)[0, -1]
        negative = pretraining.network.both_sides(other, ~inside, size)[0, -1]
        naive += margin_loss(float((pretraining.state_segment.weight @ around) @ (true - negative)))
    assert pretraining.segments(views).item() == pytest.approx(naive, rel=1e-4)


def test_the_sum_is_weighted_and_per_history(pretraining: S3RecPretraining, views: PretrainingViews) -> None:
    states = torch.stack([state for *_, state in masked_states(pretraining, views)])
    rows, masked = views.rows_BT, views.masked_BT
    expected = (
        0.2 * pretraining.item_attributes(torch.tensor([1, 3, 6]))
        + 1.0 * pretraining.masked_items(states, rows[masked], views.negatives_BT[masked])
        + 1.0 * pretraining.masked_attributes(states, rows[masked])
        + 0.5 * pretraining.segments(views)
    )
    torch.testing.assert_close(pretraining(views), expected / 2)


def test_what_the_log_says_of_masks_and_segments() -> None:
    histories = Histories.from_lists([list(range(row, row + 7)) for row in range(40)])
    windows = training_windows(histories, max_targets=7)
    views = draw_views(windows, np.arange(40), 60, 0.2, np.random.default_rng(0))
    assert views.masked_BT.any(dim=1).all()
    assert 0.15 < views.masked_BT.float().mean() < 0.35
    assert (views.segment_BT.sum(dim=1) >= 1).all()
    assert (views.segment_BT.sum(dim=1) <= 3).all()
    assert (views.other_rows_BT[~views.segment_BT] == 0).all()
    again = draw_views(windows, np.arange(40), 60, 0.2, np.random.default_rng(0))
    assert torch.equal(views.masked_BT, again.masked_BT)
    assert torch.equal(views.other_rows_BT, again.other_rows_BT)


def test_segments_lie_within_their_history() -> None:
    lengths = np.repeat([1, 2, 3, 9], 200)
    starts, sizes = draw_segments(lengths, np.random.default_rng(0))
    assert (sizes[lengths == 1] == 0).all()
    assert (sizes <= lengths // 2).all()
    assert ((starts >= 0) & (starts + sizes <= lengths)).all()
    assert set(sizes[lengths == 9]) == {1, 2, 3, 4}


def test_absent_items_are_mostly_absent() -> None:
    rows = np.arange(200).reshape(20, 10)
    drawn = draw_absent(rows, 200, np.random.default_rng(0))
    assert not (drawn[:, :, None] == rows[:, None]).any()


def test_pairwise_negative_is_never_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    method = S3Rec(S3RecConfig(width=4, heads=1, loss="pairwise"))
    torch.manual_seed(0)
    method.module = method.build(num_items=5)
    hidden, targets = torch.randn(3, 4), torch.tensor([0, 2, 4])
    monkeypatch.setattr(torch, "randint", lambda high, shape, device: torch.tensor([0, 1, 3]))
    items = method.module.items.weight
    margins = (hidden * (items[[0, 2, 4]] - items[[1, 1, 3]])).sum(dim=1)
    expected = torch.log1p(torch.exp(-margins)).mean()
    torch.testing.assert_close(method.position_loss(hidden, targets), expected)


def test_recommendation_is_causal(pretraining: S3RecPretraining) -> None:
    network = pretraining.network
    before, after = network(torch.tensor([[1, 2, 3, 4]])), network(torch.tensor([[1, 2, 8, 4]]))
    torch.testing.assert_close(before[:, :2], after[:, :2], rtol=0, atol=0)


def test_attributes_are_the_values_that_enough_items_have() -> None:
    matrix = attribute_matrix(toy_catalog(), 5, "s3rec", "or not")
    assert matrix.shape == (61, 6)
    np.testing.assert_array_equal(matrix.sum(axis=0), [11, 10, 10, 10, 10, 10])
    assert attribute_matrix(toy_catalog(), 11, "s3rec", "or not").shape == (61, 1)


def test_data_without_attributes_says_what_is_missing_and_what_works() -> None:
    world, full = toy_world(), toy_catalog()
    bare = Catalog(full.items, tuple(a for a in full.attributes if a.kind != "category"), title="title")
    data = TrainingData.of(world.split, bare)
    with pytest.raises(DataError, match=r"no category or categories column .*title \(text\).*aap_weight=0"):
        S3Rec(S3RecConfig()).fit(data, seed=0)
    ids_only = S3Rec(S3RecConfig(width=8, epochs=1, pretrain_epochs=1, aap_weight=0, map_weight=0, threads=1))
    ids_only.fit(data, seed=0)
    assert np.isfinite(ids_only.score(Histories.from_lists([[1, 2]]))).all()
