"""Losses that neural methods share."""

# N positions, I items, D width

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_ENTRIES = 2**22
"""Logits held at once: 16 MiB of float32, which also stays near the cache."""
SAFE_LOGIT = 60.0
"""Below it in size, exponentials and their sums keep within float32, and no maximum need be taken out."""


class ChunkedCrossEntropy(torch.autograd.Function):
    """Softmax cross-entropy over all items, with its gradients taken while the logits are at hand.

    Ordinary autograd would keep [N, I] logits and their softmax until the backward pass: 6 GB for one
    epoch's positions of a 12,000-item catalogue. Here a chunk of positions lives at a time, and the work is
    the same three matrix products.
    """

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, items_ID: Tensor, targets_N: Tensor) -> Tensor:
        rows = max(1, CHUNK_ENTRIES // len(items_ID))
        hidden_grad = torch.empty_like(hidden_ND)
        items_grad = torch.zeros_like(items_ID)
        total = hidden_ND.new_zeros(())
        safe = hidden_ND.norm(dim=1).max() * items_ID.norm(dim=1).max() < SAFE_LOGIT
        for start in range(0, len(hidden_ND), rows):
            hidden, targets = hidden_ND[start : start + rows], targets_N[start : start + rows]
            logits = hidden @ items_ID.T
            if not safe:
                logits -= logits.amax(dim=1, keepdim=True)
            own = logits.gather(1, targets[:, None])
            odds = logits.exp_()
            mass = odds.sum(dim=1, keepdim=True)
            total += (mass.log() - own).sum()
            # Odds are divided by their mass after the products, where there is far less to divide.
            hidden_grad[start : start + rows] = (odds @ items_ID) / mass - items_ID[targets]
            items_grad.addmm_(odds.T, hidden / mass).index_add_(0, targets, hidden, alpha=-1)
        ctx.save_for_backward(hidden_grad / len(hidden_ND), items_grad / len(hidden_ND))
        return total / len(hidden_ND)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden_grad, items_grad = ctx.saved_tensors
        return grads[0] * hidden_grad, grads[0] * items_grad, None


def full_cross_entropy(hidden_ND: Tensor, items_ID: Tensor, targets_N: Tensor) -> Tensor:
    """Mean of −log softmax(hidden · itemsᵀ)[target] over positions, every item in the denominator."""
    loss: Tensor = ChunkedCrossEntropy.apply(hidden_ND, items_ID, targets_N)
    return loss
