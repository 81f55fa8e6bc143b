"""`PretrainedVision`: a pretrained picture encoder as this model uses it."""

# P pictures, V visual tokens, E width of the encoder's tokens, F width that is kept

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from unimp.core.errors import CheckpointError
from unimp.core.weights import Weights, find_weights
from unimp.features.encoders import open_vision
from unimp.features.reduction import Reduction, coarser_grid, pool_grid
from unimp.features.vision.encoder import VisionEncoder

KEY = "vision.encoder"


class EncoderSource:
    """Which encoder, at what size and on what grid; nothing is read before it is needed."""

    def __init__(self, name: str, size: int, tokens: int, identity: str | None = None) -> None:
        """`identity`: what the encoder must be, where features of it are kept already."""
        self.name, self.size, self.tokens, self.wanted = name, size, tokens, identity

    @cached_property
    def weights(self) -> Weights:
        """ConfigError or MissingExtra when they are not here, CheckpointError when they are others."""
        found = find_weights(self.name, KEY)
        if self.wanted not in (None, found.identity):
            raise CheckpointError(
                f"{found.place}: holds {found.identity}, but the features were made by {self.wanted}; "
                "put the old weights back, or train again"
            )
        return found

    @cached_property
    def encoder(self) -> VisionEncoder:
        return open_vision(self.weights, self.size)

    def read(self, encoder: VisionEncoder, pixels_P3YX: Tensor) -> Tensor:
        """[P, V, E] visual tokens on the coarser grid."""
        visual_PVE = encoder(pixels_P3YX)
        return pool_grid(visual_PVE, encoder.grid, coarser_grid(encoder.grid, self.tokens))


class PretrainedVision(nn.Module):
    """A frozen encoder: [P, 3, Y, X] pixels in [0, 1] -> [P, V, F]. Its state is the reduction alone."""

    def __init__(self, source: EncoderSource, reduction: Reduction | None) -> None:
        """No `reduction`: the tokens stay as wide as the encoder makes them."""
        super().__init__()
        self.source, self.reduction = source, reduction

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures it reads."""
        return self.source.encoder.size, self.source.encoder.size

    @torch.no_grad()
    def forward(self, pixels_P3YX: Tensor) -> Tensor:
        visual_PVE = self.source.read(self.source.encoder.to(pixels_P3YX.device), pixels_P3YX)
        return visual_PVE if self.reduction is None else self.reduction(visual_PVE)

    def trained(self) -> TrainableVision:
        """The same, to be trained on with the model."""
        return TrainableVision(self.source, self.reduction)


class TrainableVision(nn.Module):
    """An encoder that is trained on, and the way to the kept width with it."""

    def __init__(self, source: EncoderSource, reduction: Reduction | None) -> None:
        super().__init__()
        self.source = source
        self.encoder = open_vision(source.weights, source.size)
        self.reduction: nn.Module = nn.Identity()
        if reduction is not None:
            self.reduction = Reduction.of(reduction.state_dict()).requires_grad_(True)

    def forward(self, pixels_P3YX: Tensor) -> Tensor:
        narrow: Tensor = self.reduction(self.source.read(self.encoder, pixels_P3YX))
        return narrow
