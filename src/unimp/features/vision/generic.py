"""Any other picture model of transformers: the grid is found by looking at one blank picture."""

# P pictures, H x C grid, E visual width

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from unimp.core.errors import ConfigError
from unimp.core.weights import Weights
from unimp.features.vision.grid_encoder import GridEncoder
from unimp.features.vision.patch_grid import colours, load_body, picture_size

MOST_PREFIX = 8
"""Class, distillation and register tokens that may stand before the patches."""


class FoundGrid(GridEncoder):
    """Convolutions give [P, E, H, C]; transformers give [P, prefix + H * C, E]."""

    def __init__(
        self, body: Any, size: int, blank: Tensor, grid: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        width = blank.shape[1] if blank.ndim == 4 else blank.shape[2]
        super().__init__(size, (grid, grid), width, mean, std)
        self.body = body

    def tokens(self, scaled_P3YX: Tensor) -> Tensor:
        hidden: Tensor = self.body(pixel_values=scaled_P3YX).last_hidden_state
        if hidden.ndim == 4:
            return hidden.flatten(2).transpose(1, 2)
        return hidden[:, hidden.shape[1] - self.grid[0] * self.grid[1] :]


def open_other(weights: Weights, size: int) -> FoundGrid:
    """ConfigError for a model that does not see pictures, or not as a square grid."""
    body = load_body(weights, "AutoModel")
    size = picture_size(weights, size, body.config)
    try:
        with torch.inference_mode():
            blank = body.eval()(pixel_values=torch.zeros(1, 3, size, size)).last_hidden_state
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"{weights.place}: a model of type {weights.family} gives no visual tokens of {size} x {size} "
            f"pixels ({reason}); name a picture encoder, or set vision.size"
        ) from None
    grid = side_of(blank)
    if grid is None:
        raise ConfigError(
            f"{weights.place}: a model of type {weights.family} gives {tuple(blank.shape[1:])}, "
            "no square grid of visual tokens; name another picture encoder"
        )
    return FoundGrid(body, size, blank, grid, **colours(weights)).eval()


def side_of(blank: Tensor) -> int | None:
    """Cells per side of the grid."""
    if blank.ndim == 4:
        return blank.shape[2] if blank.shape[2] == blank.shape[3] else None
    side = isqrt(blank.shape[1])
    return side if blank.ndim == 3 and blank.shape[1] - side * side <= MOST_PREFIX else None
