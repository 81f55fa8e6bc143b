"""Fewer and narrower visual tokens: a coarser grid, and the main directions of what the encoder says."""

# P pictures, H x C grid, V visual tokens, E width of the encoder's tokens, F width that is kept, N tokens

from __future__ import annotations

from collections.abc import Mapping
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimp.core.errors import ConfigError


def coarser_grid(grid: tuple[int, int], tokens: int) -> tuple[int, int]:
    """The `tokens` cells whose shape is nearest to `grid`; 0: `grid` itself. ConfigError when none fit."""
    height, columns = grid
    if not tokens or tokens == height * columns:
        return grid
    fitting = [
        (rows, tokens // rows)
        for rows in range(1, height + 1)
        if tokens % rows == 0 and tokens // rows <= columns
    ]
    if not fitting:
        raise ConfigError(
            f"vision.tokens {tokens}: does not fit the encoder's {height} x {columns} = {height * columns} "
            "visual tokens; try 4, 9 or 16, or 0 for all"
        )
    return min(fitting, key=lambda cells: abs(log(cells[0] / cells[1] * columns / height)))


def pool_grid(visual_PVE: Tensor, grid: tuple[int, int], coarse: tuple[int, int]) -> Tensor:
    """[P, V', E] means over the cells of the coarser grid."""
    if grid == coarse:
        return visual_PVE
    cells_PEHC = visual_PVE.transpose(1, 2).unflatten(2, grid)
    return F.adaptive_avg_pool2d(cells_PEHC, coarse).flatten(2).transpose(1, 2)


class Reduction(nn.Module):
    """Principal components (Pearson 1901), at one scale: the kept directions have variance 1 in the mean."""

    def __init__(self, width: int, kept: int) -> None:
        super().__init__()
        self.mean_E = nn.Parameter(torch.zeros(width))
        self.weight_FE = nn.Parameter(torch.zeros(kept, width))

    def forward(self, x_E: Tensor) -> Tensor:
        """[..., E] -> [..., F]."""
        return F.linear(x_E - self.mean_E, self.weight_FE)

    @classmethod
    def fit(cls, sample_NE: Tensor, kept: int) -> Reduction:
        """Directions of largest variance first, each with a fixed sign."""
        x = sample_NE.double()
        mean = x.mean(dim=0)
        spread, directions = torch.linalg.eigh((x - mean).T @ (x - mean) / max(1, len(x)))
        best = directions[:, -kept:].flip(1).T
        signs = best.gather(1, best.abs().argmax(dim=1, keepdim=True)).sign()
        scale = spread[-kept:].clamp(min=0).mean().sqrt().clamp(min=1e-6)
        return cls.of({"mean_E": mean.float(), "weight_FE": (best * signs / scale).float()})

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Reduction:
        """The frozen one with that state."""
        made = cls(*reversed(state["weight_FE"].shape))
        made.load_state_dict(state)
        return made.requires_grad_(False)
