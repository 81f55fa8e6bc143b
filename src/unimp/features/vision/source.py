"""`EncoderSource`: a pretrained picture network by name, opened when a picture needs it."""

# P pictures, Y x X pixels, V visual tokens, E width of the network's tokens

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from unimp.core.weights import Weights, find_same_weights
from unimp.features.encoders import open_vision
from unimp.features.reduction import coarser_grid, pool_grid
from unimp.features.vision.grid_encoder import GridEncoder

KEY = "vision.encoder"


class EncoderSource:
    """Which network, at what picture size and on what grid; nothing is read before it is needed."""

    def __init__(self, name: str, size: int, tokens: int, identity: str | None = None) -> None:
        """`identity`: hash that the weights must have, where a run holds features that they made."""
        self.name, self.size, self.tokens, self.wanted = name, size, tokens, identity

    @cached_property
    def weights(self) -> Weights:
        """ConfigError or MissingExtra when they are not here, CheckpointError when their hash is another."""
        return find_same_weights(self.name, KEY, self.wanted, "the features were made")

    @cached_property
    def encoder(self) -> GridEncoder:
        """The frozen network, opened once."""
        return self.open()

    def open(self) -> GridEncoder:
        """A network of its own, to be trained."""
        return open_vision(self.weights, self.size)

    def read(self, encoder: GridEncoder, pixels_P3YX: Tensor) -> Tensor:
        """[P, V, E] visual tokens on the coarser grid."""
        visual_PVE = encoder(pixels_P3YX)
        return pool_grid(visual_PVE, encoder.grid, coarser_grid(encoder.grid, self.tokens))
