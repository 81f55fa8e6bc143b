"""Image tokenizer: a picture becomes a short grid of discrete codes, and codes become a picture again.

Finite scalar quantisation (Mentzer et al., ICLR 2024): each of K channels of a grid cell is bounded and
rounded to one of a few levels; the cell's code is the mixed-radix number of its levels. Nothing is learnt
in the codebook, so none of it can collapse.
"""

# P pictures, Y x X pixels, H x C grid rows and columns, S = H * C codes in raster order, K quantised
# channels, N channels of a feature map

from __future__ import annotations

from math import atanh, prod
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from unimp.core.config import Config
from unimp.core.errors import ConfigError

REDUCTIONS = (4, 8, 16, 32)


class ImageTokenizerConfig(Config):
    """The image tokenizer: how pictures become codes, and how it is trained on the catalogue's pictures."""

    renamed_keys: ClassVar[dict[str, str]] = {"picture_width": "image_width"}
    removed_keys: ClassVar[dict[str, Any]] = {"bfloat16": True, "flips": True}

    enabled: bool = False
    """Train an image tokenizer, which image generation needs."""
    height: int = Field(144, ge=4)
    """Height of a picture in pixels, a multiple of `reduction`."""
    image_width: int = Field(96, ge=4)
    """Width of a picture in pixels, a multiple of `reduction`."""
    reduction: int = 16
    """Pixels per side of the square that one code stands for: 4, 8, 16 or 32. A picture has
    height / reduction times image_width / reduction codes."""
    levels: tuple[int, ...] = Field((8, 8, 8, 8), min_length=1)
    """Levels of each quantised channel, 3 or more; their product is the number of codes."""
    channels: int = Field(128, ge=8)
    """Width of the feature maps at the code grid; half of it at twice the resolution, and so on. A multiple
    of 8."""
    blocks: int = Field(2, ge=1)
    """Residual blocks at each resolution."""
    epochs: int = Field(24, ge=1)
    """Passes over the catalogue's pictures."""
    batch_pictures: int = Field(16, ge=1)
    """Pictures per step."""
    lr: float = Field(4e-3, gt=0)
    """Peak learning rate of AdamW."""
    edges: float = Field(1.0, ge=0)
    """Weight of the loss on differences between neighbouring pixels, which keeps edges sharp."""
    colour: float = Field(16.0, ge=0)
    """Weight of the loss on coarse colour. Product pictures are mostly white and grey: with a low weight rare
    colours come back grey, with a high one outlines are learned later."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.reduction not in REDUCTIONS:
            raise ValueError(f"reduction is {self.reduction}; take one of {', '.join(map(str, REDUCTIONS))}")
        for name in ("height", "image_width"):
            side, cell = getattr(self, name), self.reduction
            if side % cell:
                lower = max(side // cell, 1) * cell
                raise ValueError(
                    f"{name} is {side}, not a multiple of reduction {cell}; take {lower} or {lower + cell}"
                )
        if min(self.levels) < 3:
            raise ValueError(f"levels has {min(self.levels)}; a channel needs 3 levels or more")
        if prod(self.levels) > 2**16:
            raise ValueError(f"levels make {prod(self.levels)} codes; take fewer or smaller, {2**16} at most")
        if self.channels % 8:
            raise ValueError(f"channels is {self.channels}; take a multiple of 8")
        return self


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


class ResidualBlock(nn.Module):
    """x + convolution(gelu(convolution(norm(x)))); starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.first = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x_PNYX: Tensor) -> Tensor:
        return x_PNYX + self.second(F.gelu(self.first(self.norm(x_PNYX))))


def residual_blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


def encoder_of(config: ImageTokenizerConfig) -> nn.Sequential:
    """[P, 3, Y, X] -> [P, K, H, C]; pixels are folded into channels first, so that all convolutions run at
    a quarter of the resolution or less (reduction 8 and more)."""
    wide, half, fold = config.channels, config.channels // 2, config.reduction // 2
    return nn.Sequential(
        nn.PixelUnshuffle(fold),
        nn.Conv2d(3 * fold * fold, half, kernel_size=3, padding=1),
        residual_blocks(half, config.blocks),
        nn.PixelUnshuffle(2),
        nn.Conv2d(4 * half, wide, kernel_size=1),
        residual_blocks(wide, config.blocks),
        nn.GroupNorm(1, wide),
        nn.Conv2d(wide, len(config.levels), kernel_size=1),
    )


def decoder_of(config: ImageTokenizerConfig) -> nn.Sequential:
    """[P, K, H, C] -> [P, 3, Y, X]; one more resolution than the encoder, for what is seen."""
    wide, half, quarter = config.channels, config.channels // 2, config.channels // 4
    fold = config.reduction // 4
    return nn.Sequential(
        nn.Conv2d(len(config.levels), wide, kernel_size=3, padding=1),
        residual_blocks(wide, config.blocks),
        nn.Conv2d(wide, 4 * half, kernel_size=1),
        nn.PixelShuffle(2),
        residual_blocks(half, config.blocks),
        nn.Conv2d(half, 4 * quarter, kernel_size=1),
        nn.PixelShuffle(2),
        residual_blocks(quarter, config.blocks),
        nn.GroupNorm(1, quarter),
        nn.GELU(),
        nn.Conv2d(quarter, 3 * fold * fold, kernel_size=3, padding=1),
        nn.PixelShuffle(fold),
    )


class ImageTokenizer(nn.Module):
    """Picture -> grid of codes -> picture."""

    def __init__(self, config: ImageTokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = (config.height // config.reduction, config.image_width // config.reduction)
        self.quantizer = FiniteScalarQuantizer(config.levels)
        self.num_codes = self.quantizer.num_codes
        self.encoder = encoder_of(config)
        self.decoder = decoder_of(config)

    def forward(self, pixels_P3YX: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction, not clipped, so that every pixel keeps its gradient; and codes [P, S]."""
        self._check_size(pixels_P3YX)
        z_PSK = self.encoder((pixels_P3YX - 0.5) * 2.0).flatten(2).transpose(1, 2)
        values_PSK, codes_PS = self.quantizer(z_PSK)
        return self._paint(values_PSK), codes_PS

    @torch.no_grad()
    def encode(self, pixels_P3YX: Tensor) -> Tensor:
        """Pixels in [0, 1] -> [P, S] codes, long, in raster order."""
        self._check_size(pixels_P3YX)
        z_PSK = self.encoder((pixels_P3YX - 0.5) * 2.0).flatten(2).transpose(1, 2)
        return self.quantizer(z_PSK)[1]

    @torch.no_grad()
    def decode(self, codes_PS: Tensor) -> Tensor:
        """[P, S] codes, each in [0, num_codes) -> [P, 3, Y, X] pixels in [0, 1]."""
        return self._paint(self.quantizer.values_of(codes_PS)).clamp(0.0, 1.0)

    def _paint(self, values_PSK: Tensor) -> Tensor:
        values_PKHC = values_PSK.transpose(1, 2).unflatten(2, self.grid)
        return self.decoder(values_PKHC) * 0.5 + 0.5

    def _check_size(self, pixels_P3YX: Tensor) -> None:
        wanted = (3, self.config.height, self.config.image_width)
        if tuple(pixels_P3YX.shape[1:]) != wanted:
            raise ConfigError(
                f"image_tokenizer: pictures are {tuple(pixels_P3YX.shape[1:])}, the tokenizer reads {wanted};"
                " load them at its height and image_width"
            )
