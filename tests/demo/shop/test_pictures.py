"""A picture shows what the text hides: colour and pattern can be read off the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from unimp.data.dataset import Dataset
from unimp.data.pictures import open_picture
from unimp.demo.shop.drawing import COLOURS, PATTERNS, Stencil, paint
from unimp.demo.shop.silhouettes import SILHOUETTES
from unimp.demo.shop.writing import hidden_items

Pixels = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gallery:
    """Every picture of the shop with what it should show."""

    pixels: Pixels
    """[P, H, W, 3] in 0 … 255."""
    colours: npt.NDArray[np.str_]
    patterns: npt.NDArray[np.str_]


@pytest.fixture(scope="module")
def gallery(shop: Dataset) -> Gallery:
    references = shop.catalog.picture_references
    rows = [row for row, reference in enumerate(references) if reference is not None]
    assert shop.catalog.pictures is not None
    names = [reference for reference in references if reference is not None]
    images = [open_picture(data, name) for name, data in shop.catalog.pictures.read(names)]
    hidden = hidden_items(shop.folder)[rows]
    pixels = np.stack([np.asarray(image, dtype=np.float64) for image in images])
    return Gallery(pixels, np.array(hidden["colour"].to_list()), np.array(hidden["pattern"].to_list()))


def painted(pixels: Pixels) -> npt.NDArray[np.bool_]:
    """[H, W] True where a pixel is far from the paper and from the second, cream colour of patterns."""
    return np.abs(pixels - 247.0).max(axis=-1) > 100.0


def test_pictures_have_the_configured_size(gallery: Gallery) -> None:
    assert gallery.pixels.shape[1:] == (64, 64, 3)


def test_mean_foreground_colour_tells_the_colour(gallery: Gallery) -> None:
    means = np.stack([pixels[painted(pixels)].mean(axis=0) for pixels in gallery.pixels])
    even = np.arange(len(means)) % 2 == 0
    names = np.array(list(COLOURS))
    centroids = np.stack([means[even & (gallery.colours == name)].mean(axis=0) for name in names])
    distances = np.linalg.norm(means[~even][:, None] - centroids, axis=-1)
    assert (names[distances.argmin(axis=1)] == gallery.colours[~even]).mean() >= 0.95


def centre_contrast(pixels: Pixels) -> tuple[float, float]:
    """How much the brightness of rows, and of columns, varies in the middle of the picture."""
    brightness = pixels.mean(axis=-1)[20:46, 23:41]
    return float(brightness.mean(axis=1).std()), float(brightness.mean(axis=0).std())


def test_patterns_differ_in_how_rows_and_columns_vary() -> None:
    rng = np.random.default_rng(0)
    stencil = Stencil(SILHOUETTES["cushion"]["square"], 192)
    contrast = {
        pattern: np.mean(
            [
                centre_contrast(np.asarray(paint(stencil, "blue", pattern, 64, rng), dtype=np.float64))
                for _ in range(8)
            ],
            axis=0,
        )
        for pattern in PATTERNS
    }
    assert max(contrast["plain"]) < 8
    assert contrast["stripes"][0] > 5 * contrast["stripes"][1]
    assert min(contrast["checks"]) > 3 * max(contrast["plain"])
    assert contrast["dots"][0] > 2 * contrast["plain"][0]


def test_patterned_items_vary_more_than_plain_ones(gallery: Gallery) -> None:
    spread = np.array([pixels.mean(axis=-1)[24:42, 24:40].std() for pixels in gallery.pixels])
    plain = np.median(spread[gallery.patterns == "plain"])
    for pattern in PATTERNS[1:]:
        assert np.median(spread[gallery.patterns == pattern]) > 2 * plain, pattern


@pytest.mark.parametrize("category", SILHOUETTES)
def test_every_cut_has_its_own_outline(category: str) -> None:
    bodies = [Stencil(silhouette, 96).body > 0.5 for silhouette in SILHOUETTES[category].values()]
    assert all(0.1 < body.mean() < 0.6 for body in bodies)
    for index, body in enumerate(bodies):
        for other in bodies[index + 1 :]:
            assert (body & other).sum() < 0.97 * (body | other).sum()
