"""Vision encoder: a picture becomes a grid of visual tokens, not one pooled vector."""

# P pictures, H x C grid rows and columns, V = H * C visual tokens per picture, E visual width

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvEncoder(nn.Module):
    """Four convolutions, 8x smaller grid: [P, 3, 8H, 8C] pixels in [0, 1] -> [P, H * C, E] visual tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        channels = [3, width // 4, width // 2, width]
        self.stages = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1)
            for before, after in pairwise(channels)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, after) for after in channels[1:])
        self.mix = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels_P3YX: Tensor) -> Tensor:
        x = (pixels_P3YX - 0.5) * 4.0
        for stage, norm in zip(self.stages, self.norms, strict=True):
            x = F.gelu(norm(stage(x)))
        x = x + F.gelu(self.mix(x))
        return self.norm(x.flatten(2).transpose(1, 2))


def pixels_from_bytes(bytes_PYX3: Tensor) -> Tensor:
    """uint8 [P, Y, X, 3] -> float [P, 3, Y, X] in [0, 1]."""
    return bytes_PYX3.permute(0, 3, 1, 2).to(torch.float32) / 255.0


def pool_tokens(visual_PVE: Tensor) -> Tensor:
    """[P, 2E] mean and maximum of each picture's visual tokens."""
    tokens = visual_PVE.float()
    return torch.cat((tokens.mean(dim=1), tokens.amax(dim=1)), dim=-1)


class DescribingEncoder(nn.Module):
    """[P, 3, Y, X] pixels in [0, 1] -> [P, 1 + V, E]: a unit descriptor, then the grid's visual tokens.

    The descriptor is a projection of three things: what the convolutions found anywhere in the picture, the
    shares of its colours, and how its brightness changes over several distances. The grid is averaged to
    at most GRID x GRID cells.
    """

    texture_mean: Tensor
    texture_scale: Tensor

    def __init__(self, width: int) -> None:
        """`width`: E, a multiple of 4."""
        super().__init__()
        self.width = width
        channels = [3, 24, 48, width]
        self.stages = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1)
            for before, after in pairwise(channels)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(4, after) for after in channels[1:])
        self.mix = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.mix_norm = nn.GroupNorm(4, width)
        self.pooled_norm = nn.LayerNorm(2 * width)
        textures = len(TEXTURE_STEPS)
        self.register_buffer("texture_mean", torch.zeros(textures))
        self.register_buffer("texture_scale", torch.ones(textures))
        self.describe = nn.Linear(2 * width + COLOUR_LEVELS**3 + textures, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels_P3YX: Tensor) -> Tensor:
        grid_PEHC = self.grid(pixels_P3YX)
        descriptor_PE = self.descriptor(pixels_P3YX, grid_PEHC)
        height, columns = (min(GRID, side) for side in grid_PEHC.shape[2:])
        cells = F.adaptive_avg_pool2d(grid_PEHC, (height, columns)).flatten(2).transpose(1, 2)
        return torch.cat((descriptor_PE[:, None], self.norm(cells)), dim=1)

    def grid(self, pixels_P3YX: Tensor) -> Tensor:
        """[P, E, Y / 8, X / 8]."""
        x = (pixels_P3YX - 0.5) * 4.0
        for stage, norm in zip(self.stages, self.norms, strict=True):
            x = F.gelu(norm(stage(x)))
        return F.gelu(self.mix_norm(self.mix(x)))

    def descriptor(self, pixels_P3YX: Tensor, grid_PEHC: Tensor) -> Tensor:
        """[P, E] unit rows."""
        pooled = torch.cat((grid_PEHC.mean(dim=(2, 3)), grid_PEHC.amax(dim=(2, 3))), dim=1)
        texture = (texture_steps(pixels_P3YX) - self.texture_mean) / self.texture_scale
        parts = (
            self.pooled_norm(pooled) / pooled.shape[1] ** 0.5,
            colour_shares(pixels_P3YX),
            0.5 * texture.clamp(-4.0, 4.0) / texture.shape[1] ** 0.5,
        )
        return F.normalize(self.describe(torch.cat(parts, dim=1)), dim=1)

    @torch.no_grad()
    def fit_texture(self, steps_PS: Tensor) -> None:
        """Bring the textures of these pictures to mean 0 and deviation 1."""
        self.texture_mean.copy_(steps_PS.mean(dim=0))
        self.texture_scale.copy_(steps_PS.std(dim=0, unbiased=False) + 1e-4)


COLOUR_LEVELS = 5
"""Steps per colour channel of the histogram."""
BACKGROUND = 225 / 255
"""A pixel whose darkest channel is above this is background, which most pictures of products have."""
TEXTURE_STEPS = tuple((dy * s, dx * s) for s in (1, 2, 4, 8) for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)))
"""(rows, columns) between two pixels whose brightness is compared."""
GRID = 4


def colour_shares(pixels_P3YX: Tensor) -> Tensor:
    """[P, LEVELS³] square roots of the shares of colours; the brightest colour, background, is left out."""
    steps = (pixels_P3YX * COLOUR_LEVELS).long().clamp(0, COLOUR_LEVELS - 1)
    bins = ((steps[:, 0] * COLOUR_LEVELS + steps[:, 1]) * COLOUR_LEVELS + steps[:, 2]).flatten(1)
    counts = pixels_P3YX.new_zeros(len(bins), COLOUR_LEVELS**3)
    counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=counts.dtype))
    counts[:, -1] = 0.0
    shares: Tensor = (counts / counts.sum(dim=1, keepdim=True).clamp(min=1.0)).sqrt()
    return shares


def texture_steps(pixels_P3YX: Tensor) -> Tensor:
    """[P, S] mean change of brightness between foreground pixels and those at each of TEXTURE_STEPS."""
    grey = pixels_P3YX.mean(dim=1)
    front = (pixels_P3YX.amin(dim=1) < BACKGROUND).to(grey.dtype)
    area = front.sum(dim=(1, 2)).clamp(min=1.0)
    return torch.stack(
        [((grey - grey.roll(step, (1, 2))).abs() * front).sum(dim=(1, 2)) / area for step in TEXTURE_STEPS],
        dim=1,
    )
