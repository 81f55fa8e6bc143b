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
