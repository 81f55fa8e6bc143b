"""Pictures of a catalogue as pixels, decoded once; the content hashes that features are cached by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unimp.core.progress import progress_bar
from unimp.data.catalog import Catalog
from unimp.data.pictures import PixelArray, fit_pixels, open_picture, reading_mark


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
