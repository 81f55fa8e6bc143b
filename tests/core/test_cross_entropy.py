"""The chunked cross-entropy equals PyTorch's, value and gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unimp.core import cross_entropy
from unimp.core.cross_entropy import focal_mean, full_cross_entropy, linear_cross_entropy


@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("chunk_bytes", [1, 4 * 50 * 7, 2**23])
def test_equals_the_plain_loss(
    gamma: float, chunk_bytes: int, detach: bool, monkeypatch: pytest.MonkeyPatch
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
    logits = hidden @ table.T
    losses = F.cross_entropy(logits, answers, reduction="none")
    weights = shares * (1 - torch.exp(-losses)) ** gamma
    weights = weights.detach() if detach else weights
    expected = (weights * losses).sum() / weights.detach().sum()
    expected_grads = torch.autograd.grad(expected * 3.0, (hidden, table))
    mean, plain = linear_cross_entropy(hidden, table, labels, parts, shares, gamma=gamma, detach=detach)
    grads = torch.autograd.grad(mean * 3.0, (hidden, table))
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(plain, losses.detach())
    torch.testing.assert_close(grads, expected_grads)


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_few_losses_are_weighted_alike(gamma: float, detach: bool) -> None:
    """`focal_mean` of plain losses equals the chunked loss that made them, value and gradient."""
    torch.manual_seed(1)
    hidden = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    table, labels = torch.randn(6, 4, dtype=torch.float64), torch.randint(0, 6, (9, 1))
    ones = torch.ones(9, 1, dtype=torch.float64)
    chunked, _ = linear_cross_entropy(hidden, table, labels, ones, ones[:, 0], gamma=gamma, detach=detach)
    few = focal_mean(F.cross_entropy(hidden @ table.T, labels[:, 0], reduction="none"), gamma, detach)
    torch.testing.assert_close(few, chunked)
    grads = [torch.autograd.grad(loss, hidden, retain_graph=True)[0] for loss in (few, chunked)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_equal_predictions_weigh_one_whatever_gamma(gamma: float) -> None:
    """The mean weight is 1: where all predictions are alike, weights change neither loss nor gradient."""
    hidden = torch.ones(5, 2, dtype=torch.float64, requires_grad=True)
    table = torch.tensor([[0.0, 0.0], [0.5, 0.1], [-1.0, 0.3]], dtype=torch.float64)
    labels, ones = torch.ones(5, 1, dtype=torch.int64), torch.ones(5, 1, dtype=torch.float64)
    mean, _ = linear_cross_entropy(hidden, table, labels, ones, ones[:, 0], gamma=gamma)
    plain = F.cross_entropy(hidden @ table.T, labels[:, 0])
    torch.testing.assert_close(mean, plain)
    torch.testing.assert_close(torch.autograd.grad(mean, hidden), torch.autograd.grad(plain, hidden))
    torch.testing.assert_close(focal_mean(plain.detach().repeat(3), gamma, detach=True), plain.detach())


@pytest.mark.parametrize("scale", [1.0, 50.0])  # below SAFE_LOGIT, and beyond it
@pytest.mark.parametrize("chunk_bytes", [1, 35 * 8, 10_000])
def test_chunks_give_torchs_loss_and_gradients(
    chunk_bytes: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "PLAIN_CHUNK_BYTES", chunk_bytes)
    random = torch.Generator().manual_seed(0)
    hidden = (scale * torch.randn(13, 5, generator=random, dtype=torch.float64)).requires_grad_()
    items = torch.randn(7, 5, generator=random, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(7, (13,), generator=random)
    ours = full_cross_entropy(hidden, items, targets)
    theirs = F.cross_entropy(hidden @ items.T, targets)
    torch.testing.assert_close(ours, theirs)
    found = torch.autograd.grad(3.0 * ours, (hidden, items))
    expected = torch.autograd.grad(3.0 * theirs, (hidden, items))
    torch.testing.assert_close(found, expected)


def test_large_logits_stay_finite() -> None:
    hidden, items = torch.full((1, 1), 1e4), torch.tensor([[1.0], [-1.0]])
    assert full_cross_entropy(hidden, items, torch.tensor([1])).item() == pytest.approx(2e4)


def test_both_losses_are_one_where_nothing_is_weighted() -> None:
    torch.manual_seed(2)
    hidden = torch.randn(11, 4, dtype=torch.float64, requires_grad=True)
    table = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    labels, ones = torch.randint(0, 6, (11,)), torch.ones(11, 1, dtype=torch.float64)
    plain = full_cross_entropy(hidden, table, labels)
    weighted, _ = linear_cross_entropy(hidden, table, labels[:, None], ones, ones[:, 0])
    torch.testing.assert_close(plain, weighted)
    torch.testing.assert_close(
        torch.autograd.grad(plain, (hidden, table)), torch.autograd.grad(weighted, (hidden, table))
    )


@pytest.mark.parametrize("scale", [0.3, 3.0])  # below and above what needs no maximum taken out
def test_products_in_bfloat16_give_nearly_the_same_loss_and_gradients(scale: float) -> None:
    torch.manual_seed(0)
    found = {}
    hidden, items = torch.randn(300, 16), torch.randn(500, 16) * scale
    targets = torch.randint(0, 500, (300,))
    for products in (torch.float32, torch.bfloat16):
        h, w = hidden.clone().requires_grad_(), items.clone().requires_grad_()
        loss = full_cross_entropy(h, w, targets, products=products)
        found[products] = loss.detach(), *torch.autograd.grad(loss, (h, w))
    for exact, rounded in zip(found[torch.float32], found[torch.bfloat16], strict=True):
        assert rounded.dtype == torch.float32
        assert (rounded - exact).norm() <= 0.02 * exact.norm()
    assert not torch.equal(found[torch.float32][1], found[torch.bfloat16][1])
