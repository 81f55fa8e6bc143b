"""`PretrainedVision`: a pretrained picture encoder, frozen with cached features or trained with the model."""

# I items, P pictures, Y x X pixels, V visual tokens, E width of the network's tokens, F width in use

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from unimp.core.errors import ConfigError
from unimp.core.weights import Weights
from unimp.data.catalog import Catalog
from unimp.features.pixels import load_pixels
from unimp.features.reduction import Reduction
from unimp.features.vision.catalog_features import fit_reduction, picture_features, reduced, sample_rows
from unimp.features.vision.config import VisionConfig
from unimp.features.vision.encoder import PreparedPictures, SavedVision, check_resampler
from unimp.features.vision.source import EncoderSource
from unimp.model.vision import pixels_from_bytes

TRAINED_SAMPLE = 64
"""Pictures that the reduction is fitted on where the encoder is trained."""


class FrozenPretrained(nn.Module):
    """The frozen network and its reduction: [P, 3, Y, X] pixels in [0, 1] -> [P, V, F]."""

    def __init__(self, source: EncoderSource, reduction: Reduction | None) -> None:
        super().__init__()
        self.source, self.reduction = source, reduction

    @torch.no_grad()
    def forward(self, pixels_P3YX: Tensor) -> Tensor:
        visual_PVE = self.source.read(self.source.encoder.to(pixels_P3YX.device), pixels_P3YX)
        return visual_PVE if self.reduction is None else self.reduction(visual_PVE)


class TrainablePretrained(nn.Module):
    """The network and its reduction as a part of the model; both are trained."""

    def __init__(self, source: EncoderSource, reduction: Reduction | None) -> None:
        super().__init__()
        self.source = source
        self.encoder = source.open()
        self.reduction: nn.Module = nn.Identity()
        if reduction is not None:
            self.reduction = Reduction.of(reduction.state_dict()).requires_grad_(True)

    def forward(self, pixels_P3YX: Tensor) -> Tensor:
        narrow: Tensor = self.reduction(self.source.read(self.encoder, pixels_P3YX))
        return narrow


@dataclass(frozen=True)
class PretrainedVision:
    """A `VisionEncoder` whose state is the reduction alone; the network's weights stay where they are."""

    maps_features: ClassVar[bool] = True
    describes: ClassVar[bool] = False

    source: EncoderSource
    reduction: Reduction | None
    """None: the tokens stay as wide as the network makes them."""
    token_width: int
    trained: bool

    @property
    def picture_size(self) -> tuple[int, int]:
        return self.source.encoder.size, self.source.encoder.size

    @property
    def weights(self) -> Weights:
        return self.source.weights

    def network(self) -> nn.Module:
        return TrainablePretrained(self.source, self.reduction) if self.trained else self._frozen

    @cached_property
    def _frozen(self) -> nn.Module:
        return FrozenPretrained(self.source, self.reduction).eval()

    def tensors(self) -> dict[str, Tensor]:
        if self.reduction is None:
            return {}
        return {f"reduction.{name}": tensor for name, tensor in self.reduction.state_dict().items()}

    @classmethod
    def prepare(cls, catalog: Catalog, config: VisionConfig, *, seed: int, show: bool) -> PreparedPictures:
        """ConfigError when no item has a picture, or the encoder or its grid cannot be had."""
        if catalog.pictures is None or not any(catalog.picture_references):
            raise ConfigError(
                f'vision.encoder "{config.encoder}": no item has a picture; leave it empty for this data'
            )
        source = EncoderSource(config.encoder, config.size, config.tokens)
        fit = cls._to_be_trained if config.trainable else cls._with_features
        return fit(catalog, config, source, show)

    @classmethod
    def load(cls, config: VisionConfig, saved: SavedVision) -> Self:
        weights = saved.weights
        assert weights is not None, "a run with a pretrained encoder records its weights"
        source = EncoderSource(weights["name"], config.size, config.tokens, weights["identity"])
        narrow = {name.removeprefix("reduction."): tensor for name, tensor in saved.tensors.items()}
        return cls(source, Reduction.of(narrow) if narrow else None, saved.token_width, config.trainable)

    @classmethod
    def _with_features(
        cls, catalog: Catalog, config: VisionConfig, source: EncoderSource, show: bool
    ) -> PreparedPictures:
        features = picture_features(catalog, source, show=show)
        present = np.array([reference is not None for reference in catalog.picture_references])
        sample = features[sample_rows(present, features.shape[1])]
        reduction = fit_reduction(sample, config.token_width)
        visual, present_I = torch.from_numpy(features), torch.from_numpy(present)
        if reduction is not None:
            visual = reduced(visual, present_I, reduction)
        tokens, width = visual.shape[1:]
        check_resampler(config, tokens)
        return PreparedPictures(cls(source, reduction, width, False), present_I, tokens, visual_IVE=visual)

    @classmethod
    def _to_be_trained(
        cls, catalog: Catalog, config: VisionConfig, source: EncoderSource, show: bool
    ) -> PreparedPictures:
        size = source.encoder.size
        pixels = load_pixels(catalog, size, size, show_progress=show)
        assert pixels is not None
        rows = np.flatnonzero(pixels.present)[:TRAINED_SAMPLE]
        with torch.no_grad():
            seen_PVE = source.read(source.encoder, pixels_from_bytes(torch.from_numpy(pixels.values[rows])))
        check_resampler(config, seen_PVE.shape[1])
        tokens, width = seen_PVE.shape[1], config.token_width or seen_PVE.shape[2]
        encoder = cls(source, fit_reduction(seen_PVE.numpy(), config.token_width), width, True)
        present_I, values = torch.from_numpy(pixels.present), torch.from_numpy(pixels.values)
        return PreparedPictures(encoder, present_I, tokens, pixels_IYX3=values)
