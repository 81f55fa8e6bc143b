"""Pictures of a catalogue as pixels, decoded once; the content hashes that features are cached by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from unimp.core.config import Config
from unimp.core.progress import progress_bar
from unimp.data.catalog import Catalog
from unimp.data.pictures import PixelArray, fit_pixels, open_picture, reading_mark


class VisionConfig(Config):
    """How pictures are read: by our own convolutional encoder, trained first on the catalogue's words and
    colours and then frozen, or trained together with the model; or by a pretrained encoder."""

    renamed_keys: ClassVar[dict[str, str]] = {"width": "token_width", "picture_width": "image_width"}

    enabled: bool = True
    """Read pictures, where the catalogue has any."""
    height: int = Field(48, ge=8)
    """Height of a picture in pixels, a multiple of 8. The grid of visual tokens is height / 8 by
    image_width / 8."""
    image_width: int = Field(32, ge=8)
    """Width of a picture in pixels, a multiple of 8."""
    token_width: int = Field(32, ge=0)
    """Width of a visual token; 0, for a pretrained encoder only: the encoder's own width."""
    trainable: bool = False
    """Train the encoder together with the model, on every picture at every step (small catalogues).
    Otherwise it is frozen, and its features are cached."""
    pretrain_epochs: int = Field(10, ge=1)
    """Passes over the catalogue's pictures that train our own encoder before it is frozen."""
    encoder: str = ""
    """A pretrained encoder instead: `package:efficientnet-lite0`, a folder, or a hub id of transformers. It
    reads squares of its own size (not `height` and `image_width`), and its tokens are reduced to
    `token_width`."""
    size: int = Field(0, ge=0)
    """Pixels per side that a pretrained encoder reads; 0: the size of its pretraining."""
    tokens: int = Field(0, ge=0)
    """Visual tokens per picture of a pretrained encoder: its grid, averaged to so many cells; 0: all."""
    lr_share: float = Field(0.1, gt=0, le=1)
    """Learning rate of a pretrained encoder that is trained, as a share of `train.lr`."""
    resampler: int = Field(0, ge=0)
    """Learned queries that attend to a picture's visual tokens and take their place; 0: none."""

    @property
    def from_nothing(self) -> str:
        """What decides how our own frozen encoder comes out, as text."""
        return self.model_dump_json(exclude={"encoder", "size", "tokens", "lr_share", "resampler"})

    @model_validator(mode="after")
    def _own_width_is_pretrained(self) -> Self:
        if self.token_width < 4 and (self.token_width or not self.encoder):
            raise ValueError("token_width must be at least 4, or 0 for the width of a pretrained encoder")
        return self


@dataclass(frozen=True)
class Pixels:
    """Every item's picture at one size."""

    values: PixelArray
    """[I, Y, X, 3]; zeros where there is no picture."""
    present: npt.NDArray[np.bool_]
    """[I]."""
    digest: str
    """Hash of all picture files and the size they were brought to."""


def load_pixels(catalog: Catalog, height: int, width: int, *, show_progress: bool = False) -> Pixels | None:
    """Decode every picture once; None when no item has one. DataError names a broken picture."""
    references = catalog.picture_references
    rows = [row for row, reference in enumerate(references) if reference is not None]
    if catalog.pictures is None or not rows:
        return None
    values = np.zeros((len(catalog), height, width, 3), dtype=np.uint8)
    digest = hashlib.sha256(f"{height}x{width}".encode())
    named = [reference for reference in references if reference is not None]
    with progress_bar("decoding pictures", len(rows), show=show_progress) as bar:
        for row, (reference, data) in zip(rows, catalog.pictures.read(named), strict=True):
            digest.update(hashlib.sha256(data).digest() + reading_mark(data))
            picture = open_picture(data, f"{catalog.pictures.path}:{reference}")
            values[row] = fit_pixels(picture, height, width)
            bar.advance()
    present = np.zeros(len(catalog), dtype=np.bool_)
    present[rows] = True
    return Pixels(values, present, digest.hexdigest()[:16])
