"""`GridEncoder`: the base of every pretrained picture network: a grid of visual tokens for each picture."""

# P pictures, Y x X pixels, H x C grid, V = H * C visual tokens, E visual width

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK = 32
"""Pictures encoded at a time: bounds memory, in training too (activations are made again in between)."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class GridEncoder(nn.Module):
    """[P, 3, Y, X] pixels in [0, 1] -> [P, H * C, E] visual tokens in raster order.

    Always in evaluation mode: batch statistics and dropout stay as in the pretraining, also where the weights
    are trained further.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, size: int, grid: tuple[int, int], width: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        """`size`: pixels per side of the square it reads; `mean`, `std`: of each colour, in [0, 1]."""
        super().__init__()
        self.size, self.grid, self.width = size, grid, width
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def forward(self, pixels_P3YX: Tensor) -> Tensor:
        parts = []
        for chunk in pixels_P3YX.split(CHUNK):
            scaled = (chunk - self.mean) / self.std
            trains = torch.is_grad_enabled() and any(weight.requires_grad for weight in self.parameters())
            parts.append(
                checkpoint(self.tokens, scaled, use_reentrant=False) if trains else self.tokens(scaled)
            )
        return torch.cat(parts)

    def tokens(self, scaled_P3YX: Tensor) -> Tensor:
        """[P, H * C, E] of pixels that were brought to the mean and deviation of the pretraining."""
        raise NotImplementedError
