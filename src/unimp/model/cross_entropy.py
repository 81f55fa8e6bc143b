"""Cross-entropy against a large table without ever holding all its logits."""

# N predictions, H right answers of each, D width, I items, C predictions per chunk

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_BYTES = 8 * 2**20
"""Logits held at a time: small enough to stay in a CPU's cache, large enough for a fast matrix product."""


class LinearCrossEntropy(torch.autograd.Function):
    """Weighted mean of -Σ_H part · log softmax(h Wᵀ)[label], its gradient made chunk by chunk while forward.

    Weights are shares · (1 - p)^gamma (focal loss, Lin et al. 2017), divided by their sum: whatever gamma is,
    the mean weight is 1 and the learning rate in effect stays. `detach` takes them as given; otherwise the
    gradient runs through (1 - p)^gamma as well.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        table_ID: Tensor,
        labels_NH: Tensor,
        parts_NH: Tensor,
        shares_N: Tensor,
        gamma: float,
        detach: bool,
    ) -> tuple[Tensor, Tensor]:
        """(the weighted mean, the plain losses [N])."""
        num_items = len(table_ID)
        chunk = max(1, CHUNK_BYTES // (num_items * hidden_ND.element_size()))
        grad_hidden, grad_table = torch.empty_like(hidden_ND), torch.zeros_like(table_ID)
        losses_N = hidden_ND.new_empty(len(hidden_ND))
        total = weight_sum = hidden_ND.new_zeros(())
        buffer = hidden_ND.new_empty(min(chunk, len(hidden_ND)), num_items)
        for start in range(0, len(hidden_ND), chunk):
            rows = slice(start, start + chunk)
            h_CD, labels_CH, parts_CH = hidden_ND[rows], labels_NH[rows], parts_NH[rows]
            logits_CI = torch.mm(h_CD, table_ID.T, out=buffer[: len(h_CD)])
            label_logit_C = (logits_CI.gather(1, labels_CH) * parts_CH).sum(dim=1)
            highest_C = logits_CI.amax(dim=1, keepdim=True)
            logits_CI.sub_(highest_C).exp_()
            sums_C = logits_CI.sum(dim=1, keepdim=True)
            log_sum_C = (sums_C.log() + highest_C)[:, 0]
            nll_C = log_sum_C - label_logit_C
            losses_N[rows] = nll_C
            weights_C = shares_N[rows] * (1.0 - torch.exp(-nll_C)).clamp(min=1e-6) ** gamma
            total = total + (weights_C * nll_C).sum()
            weight_sum = weight_sum + weights_C.sum()
            slope_C = torch.zeros_like(nll_C)
            if gamma and not detach:
                slope_C = shares_N[rows] * nll_C * focal_slope(nll_C, gamma)
            # From here on the buffer holds weight x d loss / d logits + loss x d weight / d logits.
            logits_CI.mul_(((weights_C + slope_C) / sums_C[:, 0])[:, None])
            logits_CI.scatter_add_(1, labels_CH, -(weights_C + slope_C)[:, None] * parts_CH)
            grad_hidden[rows] = logits_CI @ table_ID
            grad_table.addmm_(logits_CI.T, h_CD)
        ctx.save_for_backward(grad_hidden.div_(weight_sum), grad_table.div_(weight_sum))
        ctx.mark_non_differentiable(losses_N)
        return total / weight_sum, losses_N

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_table = ctx.saved_tensors
        return grad * grad_hidden, grad * grad_table, None, None, None, None, None


def focal_slope(nll_N: Tensor, gamma: float) -> Tensor:
    """[N] d (1 - p)^gamma / d nll; p = exp(-nll)."""
    p_N = torch.exp(-nll_N)
    return gamma * (1.0 - p_N).clamp(min=1e-6) ** (gamma - 1.0) * p_N


def linear_cross_entropy(
    hidden_ND: Tensor,
    table_ID: Tensor,
    labels_NH: Tensor,
    parts_NH: Tensor,
    shares_N: Tensor,
    *,
    gamma: float = 0.0,
    detach: bool = True,
) -> tuple[Tensor, Tensor]:
    """(weighted mean loss with gradient, plain losses [N] without), in nats."""
    result: tuple[Tensor, Tensor] = LinearCrossEntropy.apply(
        hidden_ND, table_ID, labels_NH, parts_NH, shares_N, gamma, detach
    )
    return result


def focal_mean(nll_N: Tensor, gamma: float, detach: bool) -> Tensor:
    """The mean of a few plain losses under the same weights, for predictions that need no chunks."""
    weights_N = (1.0 - torch.exp(-nll_N)).clamp(min=1e-6) ** gamma
    weights_N = weights_N.detach() if detach else weights_N
    return (weights_N * nll_N).sum() / weights_N.detach().sum()
