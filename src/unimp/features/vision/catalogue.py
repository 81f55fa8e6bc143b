"""The catalogue's own picture encoder: trained on views of its pictures, then frozen; features cached."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from unimp.core.errors import CheckpointError
from unimp.core.files import read_tensors, write_tensors
from unimp.data.catalog import Catalog
from unimp.features.cache import FeatureCache
from unimp.features.pixels import Pixels, load_pixels
from unimp.features.vision.config import VisionConfig
from unimp.features.vision.contrastive import train_on_views
from unimp.features.vision.encoder import PreparedPictures, SavedVision, check_resampler
from unimp.features.vision.frozen_conv import encode_pictures
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
        encoder = cls._encoder(pixels, config, cache, identity, seed=seed, show=show)
        visual = cache.get_or_make(identity, pixels.digest, lambda: encode_pictures(encoder, pixels))
        return PreparedPictures(
            cls(encoder, config.own_size), torch.from_numpy(pixels.present), tokens, visual_IVE=visual
        )

    @classmethod
    def load(cls, config: VisionConfig, saved: SavedVision) -> Self:
        encoder = DescribingEncoder(saved.token_width)
        encoder.load_state_dict(saved.tensors)
        return cls(encoder.eval().requires_grad_(False), config.own_size)

    @staticmethod
    def _encoder(
        pixels: Pixels, config: VisionConfig, cache: FeatureCache, identity: str, *, seed: int, show: bool
    ) -> DescribingEncoder:
        """Trained now, or by an earlier run on the same pictures."""
        key = hashlib.sha256(f"{identity}\n{pixels.digest}".encode()).hexdigest()[:24]
        path = cache.folder / f"{key}.encoder.safetensors"
        encoder = DescribingEncoder(config.token_width)
        try:
            encoder.load_state_dict(read_tensors(path)[0])
        except (CheckpointError, RuntimeError):
            encoder = train_on_views(pixels, config.token_width, config.pretrain_epochs, seed=seed, show=show)
            with suppress(CheckpointError, OSError):  # costs the time again, never the run
                cache.folder.mkdir(parents=True, exist_ok=True)
                write_tensors(path, encoder.state_dict(), {"identity": identity})
        return encoder.eval().requires_grad_(False)
