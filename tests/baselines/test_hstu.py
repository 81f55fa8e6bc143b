import math

import numpy as np
import pytest
import torch
from tests.baselines.quick import QUICK

from unimp.baselines.hstu import HSTU, HSTUConfig, HSTUNetwork, gap_classes
from unimp.data.histories import NO_TIME, Histories
from unimp.testing.rankers import RankerContract, fit_once
from unimp.testing.world import toy_world


class TestHSTU(RankerContract):
    method = "hstu"
    settings = QUICK
    floor = 0.6
    order_matters = True


@pytest.fixture
def network() -> HSTUNetwork:
    torch.manual_seed(0)
    network = HSTUNetwork(HSTUConfig(width=8, heads=2, max_events=5, time_buckets=40), num_items=9).eval()
    for values in network.parameters():
        values.data.normal_(std=0.5)
    return network


def test_attention_is_pointwise_and_divided_by_the_longest_history(network: HSTUNetwork) -> None:
    layer = network.layers[0]
    query, key, value = (torch.randn(1, 2, 3, 4) for _ in range(3))
    gaps = torch.tensor([[[0, 3, 40], [3, 0, 7], [40, 7, 0]]])
    found = layer.attend(query, key, value, gaps)
    place, time = layer.place_bias.tolist(), [*layer.time_bias.tolist(), 0.0]
    for head in range(2):
        for t in range(3):
            total = torch.zeros(4)
            for s in range(t + 1):
                logit = float(query[0, head, t] @ key[0, head, s]) + place[t - s] + time[int(gaps[0, t, s])]
                total += logit / (1 + math.exp(-logit)) / 5 * value[0, head, s]
            torch.testing.assert_close(found[0, head, t], total)


def test_layer_is_gated_and_residual(network: HSTUNetwork) -> None:
    layer, x = network.layers[0], torch.randn(1, 3, 8)
    found = layer(x, None)
    gate, value, query, key = torch.nn.functional.silu(layer.project_in(layer.norm_in(x))).chunk(4, dim=2)
    heads = [part.view(1, 3, 2, 4).transpose(1, 2) for part in (query, key, value)]
    read = layer.attend(*heads, None).transpose(1, 2).reshape(1, 3, 8)
    torch.testing.assert_close(found, x + layer.project_out(layer.norm_read(read) * gate))


def test_a_later_event_never_moves_an_earlier_state(network: HSTUNetwork) -> None:
    rows, changed = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1, 2, 8, 4]])
    times, later = torch.tensor([[10, 20, 30, 40]]), torch.tensor([[10, 20, 99, 1000]])
    before, after = network(rows, times), network(changed, later)
    torch.testing.assert_close(before[:, :2], after[:, :2], rtol=0, atol=0)
    assert not torch.allclose(before[:, 2:], after[:, 2:])


def test_gap_classes_by_hand() -> None:
    # ln 60 / .301 = 13.6, ln 3600 / .301 = 27.2, ln 3540 / .301 = 27.15
    found = gap_classes(torch.tensor([[0, 60, 3600, NO_TIME]]), buckets=27)
    assert found.tolist() == [[[0, 13, 26, 27], [13, 0, 26, 27], [26, 26, 0, 27], [27, 27, 27, 27]]]


def test_unknown_times_are_the_layer_without_time(network: HSTUNetwork) -> None:
    rows = torch.tensor([[1, 2, 3]])
    unknown = torch.full_like(rows, NO_TIME)
    torch.testing.assert_close(network(rows), network(rows, unknown))
    assert not torch.allclose(network(rows), network(rows, torch.tensor([[0, 60, 7200]])))


def test_times_reach_the_scores() -> None:
    fitted = fit_once(TestHSTU)
    histories = toy_world().split.test.histories.slice(0, 5)
    bare = Histories.from_lists([histories.items_of(user).tolist() for user in range(5)])
    assert isinstance(fitted, HSTU)
    assert not np.allclose(fitted.score(histories), fitted.score(bare))
