"""Finite scalar quantisation (Mentzer et al., ICLR 2024): vectors become numbers of a fixed codebook.

Each of K channels is bounded and rounded to one of a few levels; a vector's code is the mixed-radix number of
its levels. Nothing is learnt in the codebook, so none of it can collapse.
"""

# P pictures, S codes of a picture, K quantised channels

from __future__ import annotations

from math import atanh, prod

import torch
from torch import Tensor, nn


class FiniteScalarQuantizer(nn.Module):
    """Bound each channel, round it to its levels, number the combination (Mentzer et al., section 3.1)."""

    half_K: Tensor
    shift_K: Tensor
    offset_K: Tensor
    levels_K: Tensor
    radix_K: Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.num_codes = prod(levels)
        halves = [(level - 1) * (1 + 1e-3) / 2 for level in levels]
        offsets = [0.0 if level % 2 else 0.5 for level in levels]  # even: levels lie between integers
        shifts = [atanh(offset / half) for offset, half in zip(offsets, halves, strict=True)]
        radix = [prod(levels[:place]) for place in range(len(levels))]
        for name, values in (("half_K", halves), ("shift_K", shifts), ("offset_K", offsets)):
            self.register_buffer(name, torch.tensor(values), persistent=False)
        for name, counts in (("levels_K", list(levels)), ("radix_K", radix)):
            self.register_buffer(name, torch.tensor(counts), persistent=False)

    def bound(self, z_PSK: Tensor) -> Tensor:
        """Into the interval whose rounding gives exactly the wanted number of levels."""
        return torch.tanh(z_PSK + self.shift_K) * self.half_K - self.offset_K

    def forward(self, z_PSK: Tensor) -> tuple[Tensor, Tensor]:
        """Quantised values in [-1, 1], with gradients as if nothing were rounded, and codes [P, S]."""
        rounded = round_straight_through(self.bound(z_PSK.float()))
        digits = rounded.detach().long() + self.levels_K // 2
        return rounded / (self.levels_K // 2), (digits * self.radix_K).sum(dim=-1)

    def values_of(self, codes_PS: Tensor) -> Tensor:
        """[P, S] codes -> [P, S, K] quantised values, as `forward` gave them."""
        digits = codes_PS.unsqueeze(-1) // self.radix_K % self.levels_K
        return (digits - self.levels_K // 2).float() / (self.levels_K // 2)


def round_straight_through(x: Tensor) -> Tensor:
    """Round; the gradient passes as through the identity."""
    return x + (x.round() - x).detach()
