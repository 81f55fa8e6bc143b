"""Our own convolutional encoder, trained together with the model on every picture at every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from unimp.data.catalog import Catalog
from unimp.features.pixels import load_pixels
from unimp.features.vision.config import VisionConfig
from unimp.features.vision.encoder import PreparedPictures, SavedVision, check_resampler
from unimp.model.vision import ConvEncoder


@dataclass(frozen=True)
class TrainedConvVision:
    """A `VisionEncoder` without a state of its own: its weights are the model's."""

    maps_features: ClassVar[bool] = False
    describes: ClassVar[bool] = False
    trained: ClassVar[bool] = True
    weights: ClassVar[None] = None

    picture_size: tuple[int, int]
    token_width: int

    def network(self) -> nn.Module:
        return ConvEncoder(self.token_width)

    def tensors(self) -> dict[str, Tensor]:
        return {}

    @classmethod
    def prepare(
        cls, catalog: Catalog, config: VisionConfig, *, seed: int, show: bool
    ) -> PreparedPictures | None:
        pixels = load_pixels(catalog, *config.own_size, show_progress=show)
        if pixels is None:
            return None
        present, values = torch.from_numpy(pixels.present), torch.from_numpy(pixels.values)
        check_resampler(config, config.own_tokens)
        encoder = cls(config.own_size, config.token_width)
        return PreparedPictures(encoder, present, config.own_tokens, pixels_IYX3=values)

    @classmethod
    def load(cls, config: VisionConfig, saved: SavedVision) -> Self:
        return cls(config.own_size, saved.token_width)
