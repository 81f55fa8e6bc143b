"""The catalogue's own picture encoder: trained on views of its pictures, then frozen; features cached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from unimp.data.catalog import Catalog
from unimp.features.cache import FeatureCache
from unimp.features.pixels import load_pixels
from unimp.features.vision.config import VisionConfig
from unimp.features.vision.contrastive import train_on_views
from unimp.features.vision.encoder import PreparedPictures, SavedVision, check_resampler
from unimp.features.vision.own_encoder import encode_pictures, trained_once
from unimp.model.vision import GRID, DescribingEncoder


@dataclass(frozen=True)
class CatalogueVision:
    """A `VisionEncoder` whose first visual token describes the picture as a whole."""

    maps_features: ClassVar[bool] = False
    trained: ClassVar[bool] = False
    describes: ClassVar[bool] = True
    weights: ClassVar[None] = None

    encoder: DescribingEncoder
    picture_size: tuple[int, int]

    @property
    def token_width(self) -> int:
        return self.encoder.width

    def network(self) -> nn.Module:
        return self.encoder

    def tensors(self) -> dict[str, Tensor]:
        return self.encoder.state_dict()

    @classmethod
    def prepare(
        cls, catalog: Catalog, config: VisionConfig, *, seed: int, show: bool
    ) -> PreparedPictures | None:
        """Encoder and features come from the cache where it holds those of the same pictures."""
        pixels = load_pixels(catalog, *config.own_size, show_progress=show)
        if pixels is None:
            return None
        tokens = 1 + min(GRID, config.height // 8) * min(GRID, config.image_width // 8)
        check_resampler(config, tokens)
        identity = f"catalogue-{config.token_width}-{config.pretrain_epochs}-{seed}"
        cache = FeatureCache.at_default_place()
        encoder = trained_once(
            cache,
            identity,
            pixels,
            DescribingEncoder(config.token_width),
            lambda: train_on_views(pixels, config.token_width, config.pretrain_epochs, seed=seed, show=show),
        )
        visual = cache.get_or_make(identity, pixels.digest, lambda: encode_pictures(encoder, pixels))
        return PreparedPictures(
            cls(encoder, config.own_size), torch.from_numpy(pixels.present), tokens, visual_IVE=visual
        )

    @classmethod
    def load(cls, config: VisionConfig, saved: SavedVision) -> Self:
        encoder = DescribingEncoder(saved.token_width)
        encoder.load_state_dict(saved.tensors)
        return cls(encoder.eval().requires_grad_(False), config.own_size)
