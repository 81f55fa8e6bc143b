"""The low frequencies of a sequence, seen at its last place: what each place before weighs in them."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def low_pass(span: int, cutoff: int) -> Tensor:
    """[span] what the position d steps back weighs in the `cutoff` (odd) lowest frequencies of `span`
    positions, seen at the last of them: (1 + 2 Σ_{f ≤ (cutoff − 1) / 2} cos(2π f d / span)) / span."""
    angles = 2 * math.pi * torch.arange(span, dtype=torch.float64) / span
    highest = min((cutoff - 1) // 2, (span - 1) // 2)
    waves = [2 * torch.cos(frequency * angles) for frequency in range(1, highest + 1)]
    return (sum(waves, torch.ones_like(angles)) / span).float()


def at_distances(weights_S: Tensor, back: Tensor) -> Tensor:
    """The weight of each number of steps back; 0 for what lies ahead or beyond the S steps."""
    span = len(weights_S)
    return weights_S[back.clamp(0, span - 1)] * ((back >= 0) & (back < span))
