import numpy as np
import pytest
import torch

from unimp.baselines.hgn import HGN, HGNConfig, HGNNetwork, bpr, next_events
from unimp.data.histories import Histories
from unimp.testing.rankers import RankerContract

SMALL = {
    "width": 16,
    "epochs": 30,
    "patience": 30,
    "validate_every": 5,
    "lr": 0.01,
    "threads": 1,
    "window": 3,
}


class TestHGN(RankerContract):
    method = "hgn"
    settings = SMALL
    floor = 0.5
    order_matters = True


class TestHGNCrossEntropy(RankerContract):
    method = "hgn-ce"
    settings = {**SMALL, "targets": 1}  # noqa: RUF012
    floor = 0.5
    order_matters = True


@pytest.fixture
def network() -> HGNNetwork:
    torch.manual_seed(0)
    network = HGNNetwork(HGNConfig(width=2, window=2), num_items=5).eval()
    for values in network.parameters():
        values.data.normal_()
    return network


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def state_by_hand(network: HGNNetwork, history: list[int]) -> np.ndarray:
    """The last position's u + s + Σ e, written out event by event."""
    weights = {name: values.detach().numpy() for name, values in network.named_parameters()}
    user = np.mean([weights["tastes.weight"][row] for row in history], axis=0)
    window = history[-2:]
    gated, products = [], []
    for back, row in enumerate(reversed(window)):
        item = weights["inputs.weight"][row]
        feature = weights["feature_item.weight"] @ item + weights["feature_item.bias"]
        chosen = item * sigmoid(feature + weights["feature_user.weight"] @ user)
        place = 1 - back  # the newest event is the window's last
        instance = weights["instance_item.weight"][0] @ chosen + weights["instance_user.weight"][place] @ user
        gated.append(chosen * sigmoid(instance))
        products.append(item)
    return user + np.mean(gated, axis=0) + np.sum(products, axis=0)


@pytest.mark.parametrize("history", [[3], [1, 2], [4, 0, 1], [2, 2, 3, 1]])
def test_gates_and_item_products_by_hand(network: HGNNetwork, history: list[int]) -> None:
    found = network(torch.tensor([history]))[0, -1].detach().numpy()
    np.testing.assert_allclose(found, state_by_hand(network, history), rtol=1e-5, atol=1e-6)


def test_all_windows_at_once_are_each_prefix_alone(network: HGNNetwork) -> None:
    rows = [4, 0, 1, 3, 2]
    together = network(torch.tensor([[*rows, 0, 0]]))[0].detach().numpy()
    for stop in range(1, 6):
        np.testing.assert_allclose(
            together[stop - 1], state_by_hand(network, rows[:stop]), rtol=1e-5, atol=1e-6
        )


def test_score_is_the_sum_of_the_three_products(network: HGNNetwork) -> None:
    method = HGN(HGNConfig(width=2, window=2))
    method.module, method.popularity = network, np.ones(5, dtype=np.float32)
    scores = method.score(Histories.from_lists([[4, 0, 1]]))
    expected = network.items.weight.detach().numpy() @ state_by_hand(network, [4, 0, 1])
    np.testing.assert_allclose(scores[0], expected, rtol=1e-5, atol=1e-6)


def test_targets_are_the_next_events_within_the_history() -> None:
    rows = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    ahead, real = next_events(rows, torch.tensor([3, 1]), count=2)
    found = [[ahead[b, t][real[b, t]].tolist() for t in range(3)] for b in range(2)]
    assert found == [[[2, 3], [3, 4], [4]], [[6], [], []]]


def test_bpr_by_hand_leaves_out_what_is_not_kept() -> None:
    hidden, positive = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [3.0, 3.0]])
    negative, kept = torch.tensor([[0.0, 1.0], [9.0, 9.0]]), torch.tensor([True, False])
    # h·q⁺ − h·q⁻ = 1 − 2
    assert bpr(hidden, positive, negative, kept).item() == pytest.approx(np.log1p(np.exp(1.0)))


def test_no_negative_is_an_item_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    method = HGN(HGNConfig(width=2, window=2, targets=1))
    torch.manual_seed(0)
    method.module = method.build(num_items=5)
    rows, lengths = torch.tensor([[1, 2, 3]]), torch.tensor([2])
    monkeypatch.setattr(torch, "randint", lambda high, shape, device: torch.tensor([3, 4]))
    hidden = method.module(rows[:, :-1])[0]
    items = method.module.items.weight
    expected = bpr(hidden[1:], items[[3]], items[[4]], torch.tensor([True]))
    torch.testing.assert_close(method.loss(rows, lengths), expected)
