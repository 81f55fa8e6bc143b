"""`AveragingAdamW` against the recurrence written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unimp.core.averaging import AVERAGE, AveragingAdamW


def trained(average: float, steps: int) -> tuple[nn.Linear, AveragingAdamW, list[torch.Tensor]]:
    torch.manual_seed(0)
    module = nn.Linear(4, 3)
    optimizer = AveragingAdamW(module.parameters(), average=average, lr=0.1)
    weights = []
    for _ in range(steps):
        optimizer.zero_grad()
        module(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
        weights.append(module.weight.detach().clone())
    return module, optimizer, weights


@pytest.mark.parametrize("average", [0.3, 0.9])
def test_the_average_is_the_recurrence(average: float) -> None:
    module, optimizer, weights = trained(average, 6)
    expected = weights[0]
    for step, weight in enumerate(weights[1:], 2):
        decay = min(average, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    with optimizer.averaged():
        torch.testing.assert_close(module.weight.detach(), expected)
    assert torch.equal(module.weight, weights[-1])


def test_without_it_nothing_is_kept() -> None:
    module, optimizer, weights = trained(0.0, 2)
    assert AVERAGE not in optimizer.state[module.weight]
    with optimizer.averaged():
        assert torch.equal(module.weight, weights[-1])


def test_the_steps_are_those_without_it() -> None:
    assert all(map(torch.equal, trained(0.0, 4)[2], trained(0.9, 4)[2]))


def test_an_error_within_gives_the_weights_back() -> None:
    module, optimizer, weights = trained(0.9, 3)
    with pytest.raises(KeyError), optimizer.averaged():
        raise KeyError
    assert torch.equal(module.weight, weights[-1])
