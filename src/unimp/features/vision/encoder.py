"""`VisionEncoder`: how a run reads pictures. Four kinds, one protocol; the recipe's `[vision]` names one."""

# I items, P pictures, Y x X pixels, V visual tokens per picture, E width of a visual token

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from unimp.core.errors import ConfigError
from unimp.core.weights import Weights
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray
from unimp.features.vision.config import VisionConfig
from unimp.model.vision import pool_tokens


class VisionEncoder(Protocol):
    """Pictures to visual tokens: prepared once from a catalogue, then saved and loaded with the run."""

    maps_features: ClassVar[bool]
    """The catalogue's features may be larger than memory: the run keeps them as a memory map in a file of
    their own, and they are pooled once instead of at every step."""

    describes: ClassVar[bool]
    """Its first visual token is a descriptor of the whole picture; otherwise all are cells of a grid."""

    @property
    def trained(self) -> bool:
        """Whether its network is a part of the model and trained with it; otherwise it is frozen."""
        ...

    @property
    def picture_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the pictures that it reads."""
        ...

    @property
    def token_width(self) -> int:
        """Width E of a visual token."""
        ...

    @property
    def weights(self) -> Weights | None:
        """The pretrained weights that it needs; None for our own encoder."""
        ...

    def network(self) -> nn.Module:
        """[P, 3, Y, X] pixels in [0, 1] -> [P, V, E]: frozen, or new each time, for the model to train."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Its state for the run folder: what `load` needs beside the recipe."""
        ...

    @classmethod
    def prepare(
        cls, catalog: Catalog, config: VisionConfig, *, seed: int, show: bool
    ) -> PreparedPictures | None:
        """The encoder and the catalogue's pictures as the model reads them; None without any picture."""
        ...

    @classmethod
    def load(cls, config: VisionConfig, saved: SavedVision) -> Self:
        """The encoder of a run, as it was prepared."""
        ...


@dataclass(frozen=True)
class SavedVision:
    """What a run folder records of its encoder beside the recipe."""

    tensors: Mapping[str, Tensor]
    """As `VisionEncoder.tensors` gave them."""
    token_width: int
    weights: Mapping[str, str] | None = None
    """`name` and `identity` of the pretrained weights."""


@dataclass(frozen=True)
class PreparedPictures:
    """What an encoder makes of a catalogue before training."""

    encoder: VisionEncoder
    present_I: Tensor
    """bool: items with a picture."""
    num_tokens: int
    """Visual tokens per picture."""
    visual_IVE: Tensor | None = None
    """fp16 visual tokens by a frozen encoder; only those of `present_I` mean anything."""
    pixels_IYX3: Tensor | None = None
    """uint8 pictures for an encoder that is trained."""


def encoder_class(config: VisionConfig) -> type[VisionEncoder]:
    """The kind of encoder that a recipe names."""
    if config.encoder:
        from unimp.features.vision.pretrained import PretrainedVision

        return PretrainedVision
    if config.kind == "catalogue":
        from unimp.features.vision.catalogue import CatalogueVision

        return CatalogueVision
    if config.trainable:
        from unimp.features.vision.trained_conv import TrainedConvVision

        return TrainedConvVision
    from unimp.features.vision.frozen_conv import FrozenConvVision

    return FrozenConvVision


def check_resampler(config: VisionConfig, num_tokens: int) -> None:
    """ConfigError when the resampler has more queries than a picture has visual tokens."""
    if config.resampler > num_tokens:
        raise ConfigError(
            f"vision.resampler {config.resampler}: a picture has {num_tokens} visual tokens; "
            "ask for at most that"
        )


@torch.no_grad()
def descriptors(visual_IVE: Tensor, present_I: Tensor) -> FloatArray:
    """[I, E] what an encoder that describes pictures whole says of each, in its first visual token; zeros
    without a picture."""
    found: FloatArray = (visual_IVE[:, 0].float() * present_I[:, None]).cpu().numpy()
    return found


@torch.no_grad()
def pooled(visual_IVE: Tensor, batch: int = 1024) -> Tensor:
    """[I, 2E] mean and maximum of every picture's visual tokens, read once."""
    return torch.cat([pool_tokens(visual) for visual in visual_IVE.split(batch)])
