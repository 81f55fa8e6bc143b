"""Cross-entropy of h Wᵀ against a large table W, without ever holding all its logits.

Ordinary autograd keeps [N, I] logits and their softmax until the backward pass: 6 GB for one epoch's
positions of a catalogue of 12,000 items. Here a chunk of predictions lives at a time; its gradient is
computed while its logits are at hand, and the backward pass only scales it. The work is the same three matrix
products.
"""

# N predictions, H right answers of each, D width, I items, C predictions per chunk

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

CHUNK_BYTES = 8 * 2**20
"""Logits held at a time by `linear_cross_entropy`: few enough to stay in a CPU's cache."""
PLAIN_CHUNK_BYTES = 16 * 2**20
"""Logits held at a time by `full_cross_entropy`."""
SAFE_LOGIT = 60.0
"""Where no logit is larger, exponentials and their sums stay within float32 without taking out a maximum."""


class WithGradients(torch.autograd.Function):
    """See `with_gradients`."""

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, table_ID: Tensor, loss: Tensor, grad_ND: Tensor, grad_ID: Tensor
    ) -> Tensor:
        ctx.save_for_backward(grad_ND, grad_ID)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_ND, grad_ID = ctx.saved_tensors
        return grads[0] * grad_ND, grads[0] * grad_ID, None, None, None


def with_gradients(
    hidden_ND: Tensor, table_ID: Tensor, loss: Tensor, grad_ND: Tensor, grad_ID: Tensor
) -> Tensor:
    """`loss` as a function of `hidden` and `table`, whose gradients are known."""
    apply: Callable[..., Tensor] = WithGradients.apply
    return apply(hidden_ND, table_ID, loss, grad_ND, grad_ID)


def chunks(num_rows: int, table_ID: Tensor, chunk_bytes: int) -> Iterator[slice]:
    """The predictions in turn, as many at a time as have `chunk_bytes` of logits."""
    size = max(1, chunk_bytes // (len(table_ID) * table_ID.element_size()))
    for start in range(0, num_rows, size):
        yield slice(start, min(start + size, num_rows))


def linear_cross_entropy(
    hidden_ND: Tensor,
    table_ID: Tensor,
    labels_NH: Tensor,
    parts_NH: Tensor,
    shares_N: Tensor,
    *,
    gamma: float = 0.0,
    detach: bool = True,
    log_weights_I: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(mean of -weight · Σ_H part · log softmax(h Wᵀ)[label] with gradient, losses [N] without), in nats.

    Weights are shares · (1 - p)^gamma (focal loss, Lin et al. 2017), divided by their sum: whatever gamma is,
    the mean weight is 1 and the effective learning rate is the same. `detach` treats them as constants;
    otherwise the gradient runs through (1 - p)^gamma as well.

    `log_weights_I`: how often each row of the table stands in the sum over all items, where the table is a
    sample of them (logQ correction; Bengio & Senécal 2008). A prediction's right answers stand there once.
    """
    with torch.no_grad():
        grad_ND, grad_ID = torch.empty_like(hidden_ND), torch.zeros_like(table_ID)
        losses_N = hidden_ND.new_empty(len(hidden_ND))
        total = weight_sum = hidden_ND.new_zeros(())
        buffer: Tensor | None = None
        for rows in chunks(len(hidden_ND), table_ID, CHUNK_BYTES):
            h_CD, labels_CH, parts_CH = hidden_ND[rows], labels_NH[rows], parts_NH[rows]
            buffer = h_CD.new_empty(len(h_CD), len(table_ID)) if buffer is None else buffer
            logits_CI = torch.mm(h_CD, table_ID.T, out=buffer[: len(h_CD)])
            own_CH = logits_CI.gather(1, labels_CH)
            label_logit_C = (own_CH * parts_CH).sum(dim=1)
            if log_weights_I is not None:
                logits_CI.add_(log_weights_I).scatter_(1, labels_CH, own_CH)
            highest_C = logits_CI.amax(dim=1, keepdim=True)
            logits_CI.sub_(highest_C).exp_()
            sums_C = logits_CI.sum(dim=1, keepdim=True)
            nll_C = (sums_C.log() + highest_C)[:, 0] - label_logit_C
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
            grad_ND[rows] = logits_CI @ table_ID
            grad_ID.addmm_(logits_CI.T, h_CD)
        grad_ND.div_(weight_sum)
        grad_ID.div_(weight_sum)
        mean = total / weight_sum
    return with_gradients(hidden_ND, table_ID, mean, grad_ND, grad_ID), losses_N


def full_cross_entropy(
    hidden_ND: Tensor, items_ID: Tensor, targets_N: Tensor, *, products: torch.dtype | None = None
) -> Tensor:
    """Mean of −log softmax(hidden · itemsᵀ)[target] over positions, every item in the denominator.

    `products`: precision of the logits and of the two products back, by default the table's own; bfloat16 is
    about twice as fast where a processor multiplies it in hardware. Sums, the target's own part and what is
    returned keep the table's.
    """
    with torch.no_grad():
        grad_ND, grad_ID = torch.empty_like(hidden_ND), torch.zeros_like(items_ID)
        total = hidden_ND.new_zeros(())
        safe = hidden_ND.norm(dim=1).max() * items_ID.norm(dim=1).max() < SAFE_LOGIT
        table_ID = items_ID.to(products or items_ID.dtype)
        for rows in chunks(len(hidden_ND), items_ID, PLAIN_CHUNK_BYTES):
            h_CD, targets_C = hidden_ND[rows], targets_N[rows]
            own_items_CD = items_ID[targets_C]
            own_C = (h_CD * own_items_CD).sum(dim=1, keepdim=True)
            logits_CI = h_CD.to(table_ID.dtype) @ table_ID.T
            if not safe:
                highest_C = logits_CI.amax(dim=1, keepdim=True)
                logits_CI -= highest_C
                own_C -= highest_C
            odds_CI = logits_CI.exp_()
            mass_C = odds_CI.sum(dim=1, keepdim=True, dtype=hidden_ND.dtype)
            total += (mass_C.log() - own_C).sum()
            # Odds are divided by their mass after the products, where there is far less to divide.
            grad_ND[rows] = (odds_CI @ table_ID).to(grad_ND.dtype) / mass_C - own_items_CD
            if table_ID.dtype == grad_ID.dtype:
                grad_ID.addmm_(odds_CI.T, h_CD / mass_C)
            else:  # chunks are summed in the table's own precision
                grad_ID += (odds_CI.T @ (h_CD / mass_C).to(table_ID.dtype)).to(grad_ID.dtype)
            grad_ID.index_add_(0, targets_C, h_CD, alpha=-1)
        count = len(hidden_ND)
        mean, grad_ND, grad_ID = total / count, grad_ND / count, grad_ID / count
    return with_gradients(hidden_ND, items_ID, mean, grad_ND, grad_ID)


def focal_slope(nll_N: Tensor, gamma: float) -> Tensor:
    """[N] d (1 - p)^gamma / d nll; p = exp(-nll)."""
    p_N = torch.exp(-nll_N)
    return gamma * (1.0 - p_N).clamp(min=1e-6) ** (gamma - 1.0) * p_N


def focal_mean(nll_N: Tensor, gamma: float, detach: bool) -> Tensor:
    """The mean of a few plain losses under the same weights, for predictions that need no chunks."""
    weights_N = (1.0 - torch.exp(-nll_N)).clamp(min=1e-6) ** gamma
    weights_N = weights_N.detach() if detach else weights_N
    return (weights_N * nll_N).sum() / weights_N.detach().sum()
