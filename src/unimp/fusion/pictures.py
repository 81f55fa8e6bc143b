"""What pictures look like by plain statistics of their pixels: colours, texture, silhouette."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unimp.core.files import atomic_write
from unimp.core.progress import progress_bar
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray
from unimp.data.pictures import PixelArray, fit_pixels, open_picture

HEIGHT, WIDTH = 144, 96
BACKGROUND = 225
"""A pixel whose darkest channel is above this is background."""
LEVELS = 5
"""Steps per colour channel of the histogram."""
SCALES = (1, 2, 4, 8)
OUTLINE = (16, 12)
"""Rows and columns of the silhouette."""


def picture_vectors(catalog: Catalog, *, cache: Path | None = None, show: bool = False) -> FloatArray | None:
    """[I, F] unit rows, zeros where there is no picture; None when no item has one.

    `cache`: a folder in which the vectors are kept by the pictures' names and sizes.
    """
    named = [(row, name) for row, name in enumerate(catalog.picture_references) if name is not None]
    if catalog.pictures is None or not named:
        return None
    path = None if cache is None else cache / f"pixel-statistics-{identity(catalog)}.npy"
    if path is not None and path.exists():
        kept: FloatArray = np.load(path)
        return kept
    present = np.array([row for row, _ in named])
    raw = np.zeros((len(named), LEVELS**3 + 6 * len(SCALES) + OUTLINE[0] * OUTLINE[1]), dtype=np.float32)
    with progress_bar("picture statistics", len(named), show=show) as bar:
        for place, (name, data) in enumerate(catalog.pictures.read([name for _, name in named])):
            raw[place] = describe(fit_pixels(open_picture(data, name), HEIGHT, WIDTH))
            bar.advance()
    vectors = np.zeros((len(catalog), raw.shape[1]), dtype=np.float32)
    vectors[present] = balance(raw)
    if path is not None:
        keep(path, vectors)
    return vectors


def identity(catalog: Catalog) -> str:
    """Of the pictures: where they are, when that last changed, and their names in item order."""
    assert catalog.pictures is not None
    stat = catalog.pictures.path.stat()
    parts = [str(catalog.pictures.path), str(stat.st_mtime_ns), *map(str, catalog.picture_references)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def keep(path: Path, vectors: FloatArray) -> None:
    """Write whole, then rename."""
    with atomic_write(path) as part, part.open("wb") as file:
        np.save(file, vectors)


def describe(pixels: PixelArray) -> FloatArray:
    """[F] square roots of colour shares, mean steps of brightness at several distances, and the outline."""
    front = pixels.min(axis=2) < BACKGROUND
    steps = (pixels // (256 // LEVELS + 1)).astype(np.int64)
    bins = (steps[..., 0] * LEVELS + steps[..., 1]) * LEVELS + steps[..., 2]
    colours = np.sqrt(np.bincount(bins[front], minlength=LEVELS**3) / max(int(front.sum()), 1))
    outline = front.reshape(OUTLINE[0], HEIGHT // OUTLINE[0], OUTLINE[1], WIDTH // OUTLINE[1]).mean(
        axis=(1, 3)
    )
    return np.concatenate([colours, texture(pixels, front), outline.ravel()]).astype(np.float32)


def texture(pixels: PixelArray, front: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """[6 · scales] mean absolute difference of brightness between a pixel and one at a distance."""
    grey = pixels.astype(np.float32).mean(axis=2)
    if not front.any():
        return np.zeros(6 * len(SCALES))
    return np.array(
        [
            np.abs(grey - np.roll(grey, (dy, dx), axis=(0, 1)))[front].mean()
            for s in SCALES
            for dy, dx in ((0, s), (s, 0), (s, s), (s, -s), (0, 2 * s), (2 * s, 0))
        ]
    )


def balance(raw: FloatArray) -> FloatArray:
    """Unit rows in which colours, texture and outline weigh 1, 1/2 and 1."""
    colours, texture_end = LEVELS**3, LEVELS**3 + 6 * len(SCALES)
    values = raw.copy()
    middle = values[:, colours:texture_end]
    middle = (middle - middle.mean(axis=0)) / (middle.std(axis=0) + 1e-6)
    values[:, colours:texture_end] = 0.5 * middle / np.sqrt(middle.shape[1])
    values[:, texture_end:] /= np.linalg.norm(values[:, texture_end:], axis=1, keepdims=True) + 1e-6
    unit: FloatArray = values / (np.linalg.norm(values, axis=1, keepdims=True) + 1e-6)
    return unit
