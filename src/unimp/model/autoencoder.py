"""A small frozen autoencoder of pictures, whose weights come from elsewhere: pixels to latents and back.

The shape is that of TAEF2 (github.com/madebyollin/taesd, MIT licence): convolutions of one width, three
halvings of the resolution, and at the coarsest grid blocks that also look at normalised channels. Only the
shape is taken from there; the weights are the user's files.
"""

# P pictures, Y x X pixels, N channels of the latents at an eighth of both sides

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 64
STRIDE = 8
"""Pixels per side of the square that one latent vector stands for."""
LATENTS = 32
LARGEST = 3.0
"""The decoder bounds latents softly by this."""


class RectifiedBlock(nn.Module):
    """relu(x + three convolutions of x); with `pool` after x gained what its normalised channels say."""

    def __init__(self, *, pool: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(conv3(), nn.ReLU(), conv3(), nn.ReLU(), conv3())
        self.pool = (
            nn.Sequential(
                nn.Conv2d(WIDTH, 4 * WIDTH, kernel_size=1, bias=False),
                nn.GroupNorm(4, 4 * WIDTH),
                nn.ReLU(),
                nn.Conv2d(4 * WIDTH, WIDTH, kernel_size=1, bias=False),
            )
            if pool
            else None
        )

    def forward(self, x_PNYX: Tensor) -> Tensor:
        if self.pool is not None:
            x_PNYX = x_PNYX + self.pool(x_PNYX)
        return F.relu(x_PNYX + self.conv(x_PNYX))


class SoftBound(nn.Module):
    """Latents into (-3, 3), nearly unchanged around 0."""

    def forward(self, x: Tensor) -> Tensor:
        return LARGEST * torch.tanh(x / LARGEST)


def conv3(channels_in: int = WIDTH, channels_out: int = WIDTH, **options: int | bool) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, **options)  # type: ignore[arg-type]


def blocks(count: int, *, pool: bool = False) -> list[nn.Module]:
    return [RectifiedBlock(pool=pool) for _ in range(count)]


def half() -> nn.Module:
    return conv3(stride=2, bias=False)


def doubled() -> list[nn.Module]:
    return [nn.Upsample(scale_factor=2), conv3(bias=False)]


class Autoencoder(nn.Module):
    """Pictures [P, 3, Y, X] in [0, 1] to latents [P, 32, Y / 8, X / 8] and back; nothing in it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            conv3(3), *blocks(1), half(), *blocks(3), half(), *blocks(3), half(), *blocks(3, pool=True)
        )
        self.encoder.append(conv3(WIDTH, LATENTS))
        self.decoder = nn.Sequential(SoftBound(), conv3(LATENTS), nn.ReLU(), *blocks(3, pool=True))
        for count in (3, 3, 1):
            self.decoder.extend([*doubled(), *blocks(count)])
        self.decoder.append(conv3(WIDTH, 3))
        self.eval().requires_grad_(False)

    def encode(self, pixels_P3YX: Tensor) -> Tensor:
        latents: Tensor = self.encoder(pixels_P3YX)
        return latents

    def decode(self, latents_PNHC: Tensor) -> Tensor:
        """Not clipped."""
        pixels: Tensor = self.decoder(latents_PNHC)
        return pixels
