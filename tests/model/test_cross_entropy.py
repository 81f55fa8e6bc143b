"""The chunked cross-entropy equals PyTorch's, value and gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unimp.model import cross_entropy
from unimp.model.cross_entropy import linear_cross_entropy


@pytest.mark.parametrize(("gamma", "smoothing"), [(0.0, 0.0), (2.0, 0.0), (0.0, 0.1), (1.5, 0.2)])
@pytest.mark.parametrize("chunk_bytes", [1, 4 * 50 * 7, 2**23])
def test_equals_the_plain_loss(
    gamma: float, smoothing: float, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", chunk_bytes)
    torch.manual_seed(0)
    hidden = torch.randn(23, 8, dtype=torch.float64, requires_grad=True)
    table = torch.randn(50, 8, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 50, (23, 3))
    parts = torch.rand(23, 3, dtype=torch.float64) * torch.tensor([[1.0, 1.0, 0.0]] * 9 + [[1.0] * 3] * 14)
    parts /= parts.sum(dim=1, keepdim=True)
    answers = torch.zeros(23, 50, dtype=torch.float64).scatter_add(1, labels, parts)
    shares = torch.rand(23, dtype=torch.float64)
    bias = torch.randn(50, dtype=torch.float64)
    logits = hidden @ table.T + bias
    losses = F.cross_entropy(logits, answers, reduction="none")
    smoothed = F.cross_entropy(logits, answers, reduction="none", label_smoothing=smoothing)
    weights = shares * (1 - torch.exp(-losses.detach())) ** gamma
    expected = (weights * smoothed).sum() / weights.sum()
    expected_grads = torch.autograd.grad(expected * 3.0, (hidden, table))
    mean, plain = linear_cross_entropy(
        hidden, table, labels, parts, shares, bias_I=bias, gamma=gamma, smoothing=smoothing
    )
    grads = torch.autograd.grad(mean * 3.0, (hidden, table))
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(plain, losses.detach())
    torch.testing.assert_close(grads, expected_grads)
