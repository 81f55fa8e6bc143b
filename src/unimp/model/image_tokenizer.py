"""Image tokenizer: a picture becomes a short grid of discrete codes, and codes become a picture again.

Codes by finite scalar quantisation (`model/quantizer.py`). What is coded are pixels, or the latents of a
frozen autoencoder (`model/autoencoder.py`), which knows from elsewhere what sharp pictures look like.
"""

# P pictures, Y x X pixels, H x C grid rows and columns, S = H * C codes in raster order, K quantised
# channels, N channels of a feature map

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from unimp.core.config import Config
from unimp.core.errors import ConfigError
from unimp.model.autoencoder import LATENTS, STRIDE, Autoencoder
from unimp.model.quantizer import FiniteScalarQuantizer

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
    autoencoder: str = ""
    """Folder with a pretrained autoencoder of pictures, `taef2_encoder.safetensors` and
    `taef2_decoder.safetensors`: codes stand for its latents, and its decoder paints. Empty: for pixels."""
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
        if self.autoencoder and self.reduction < 2 * STRIDE:
            raise ValueError(f"reduction is {self.reduction}; with an autoencoder take {2 * STRIDE} or more")
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


def coded_maps(config: ImageTokenizerConfig) -> tuple[int, int]:
    """Channels of what is coded, and cells of it per side of the square that one code stands for."""
    return (LATENTS, config.reduction // STRIDE) if config.autoencoder else (3, config.reduction)


def encoder_of(config: ImageTokenizerConfig) -> nn.Sequential:
    """[P, 3, Y, X], or latents, -> [P, K, H, C]; cells are folded into channels first, so that of pixels
    all convolutions run at a quarter of the resolution or less (reduction 8 and more)."""
    channels, cells = coded_maps(config)
    wide, half, fold = config.channels, config.channels // 2, cells // 2
    return nn.Sequential(
        nn.PixelUnshuffle(fold),
        nn.Conv2d(channels * fold * fold, half, kernel_size=3, padding=1),
        residual_blocks(half, config.blocks),
        nn.PixelUnshuffle(2),
        nn.Conv2d(4 * half, wide, kernel_size=1),
        residual_blocks(wide, config.blocks),
        nn.GroupNorm(1, wide),
        nn.Conv2d(wide, len(config.levels), kernel_size=1),
    )


def decoder_of(config: ImageTokenizerConfig) -> nn.Sequential:
    """[P, K, H, C] -> [P, 3, Y, X] or latents; for pixels one more resolution than the encoder, for what is
    seen."""
    channels, cells = coded_maps(config)
    widths = [config.channels, config.channels // 2]
    if not config.autoencoder:
        widths.append(config.channels // 4)
    fold = cells // 2 ** (len(widths) - 1)
    layers: list[nn.Module] = [nn.Conv2d(len(config.levels), widths[0], kernel_size=3, padding=1)]
    for width, narrower in pairwise(widths):
        layers += [
            residual_blocks(width, config.blocks),
            nn.Conv2d(width, 4 * narrower, kernel_size=1),
            nn.PixelShuffle(2),
        ]
    return nn.Sequential(
        *layers,
        residual_blocks(widths[-1], config.blocks),
        nn.GroupNorm(1, widths[-1]),
        nn.GELU(),
        nn.Conv2d(widths[-1], channels * fold * fold, kernel_size=3, padding=1),
        nn.PixelShuffle(fold),
    )


class ImageTokenizer(nn.Module):
    """Picture -> grid of codes -> picture."""

    latent_mean_N11: Tensor
    latent_deviation_N11: Tensor

    def __init__(self, config: ImageTokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = (config.height // config.reduction, config.image_width // config.reduction)
        self.quantizer = FiniteScalarQuantizer(config.levels)
        self.num_codes = self.quantizer.num_codes
        self.encoder = encoder_of(config)
        self.decoder = decoder_of(config)
        self.autoencoder = Autoencoder() if config.autoencoder else None
        if config.autoencoder:
            self.register_buffer("latent_mean_N11", torch.zeros(LATENTS, 1, 1))
            self.register_buffer("latent_deviation_N11", torch.ones(LATENTS, 1, 1))

    def forward(self, pixels_P3YX: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction, not clipped, so that every pixel keeps its gradient; and codes [P, S]."""
        made_PNYX, codes_PS = self.recode(self.maps_of(pixels_P3YX))
        return self.pixels_of(made_PNYX), codes_PS

    @torch.no_grad()
    def encode(self, pixels_P3YX: Tensor) -> Tensor:
        """Pixels in [0, 1] -> [P, S] codes, long, in raster order."""
        return self.quantised(self.maps_of(pixels_P3YX))[1]

    @torch.no_grad()
    def decode(self, codes_PS: Tensor) -> Tensor:
        """[P, S] codes, each in [0, num_codes) -> [P, 3, Y, X] pixels in [0, 1]."""
        return self.pixels_of(self._decoded(self.quantizer.values_of(codes_PS))).clamp(0.0, 1.0)

    def maps_of(self, pixels_P3YX: Tensor) -> Tensor:
        """What is coded: the pixels in [-1, 1], or their standardised latents [P, 32, Y / 8, X / 8]."""
        self._check_size(pixels_P3YX)
        if self.autoencoder is None:
            return (pixels_P3YX - 0.5) * 2.0
        return (self.autoencoder.encode(pixels_P3YX) - self.latent_mean_N11) / self.latent_deviation_N11

    def pixels_of(self, maps_PNYX: Tensor) -> Tensor:
        """[P, 3, Y, X] the picture of what was coded, not clipped."""
        if self.autoencoder is None:
            return maps_PNYX * 0.5 + 0.5
        return self.autoencoder.decode(maps_PNYX * self.latent_deviation_N11 + self.latent_mean_N11)

    def recode(self, maps_PNYX: Tensor) -> tuple[Tensor, Tensor]:
        """What codes keep of `maps_of`, and the codes [P, S]."""
        values_PSK, codes_PS = self.quantised(maps_PNYX)
        return self._decoded(values_PSK), codes_PS

    def quantised(self, maps_PNYX: Tensor) -> tuple[Tensor, Tensor]:
        """Quantised values [P, S, K] of what is coded, and their codes [P, S]."""
        values_PSK, codes_PS = self.quantizer(self.encoder(maps_PNYX).flatten(2).transpose(1, 2))
        return values_PSK, codes_PS

    def _decoded(self, values_PSK: Tensor) -> Tensor:
        maps: Tensor = self.decoder(values_PSK.transpose(1, 2).unflatten(2, self.grid))
        return maps

    def _check_size(self, pixels_P3YX: Tensor) -> None:
        wanted = (3, self.config.height, self.config.image_width)
        if tuple(pixels_P3YX.shape[1:]) != wanted:
            raise ConfigError(
                f"image_tokenizer: pictures are {tuple(pixels_P3YX.shape[1:])}, the tokenizer reads {wanted};"
                " load them at its height and image_width"
            )
