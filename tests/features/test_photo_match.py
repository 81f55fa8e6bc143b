"""A cropped, compressed picture is known again; another is not."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from unimp.data.pictures import PixelArray, fit_pixels
from unimp.features.photo_match import PhotoMatch, border, thumbnails_of, with_mask

FRAME = (64, 48)
MISSING = 5


def scene(number: int) -> Image.Image:
    """A 120 x 150 picture of coloured boxes, never the same twice."""
    rng = np.random.default_rng([3, number])
    pixels = np.full((150, 120, 3), rng.integers(60, 255, 3), dtype=np.uint8)
    for _ in range(12):
        top, left = rng.integers(0, 120), rng.integers(0, 90)
        pixels[top : top + rng.integers(10, 60), left : left + rng.integers(10, 60)] = rng.integers(0, 255, 3)
    return Image.fromarray(pixels)


def photo(picture: Image.Image, box: tuple[int, int, int, int]) -> PixelArray:
    file = io.BytesIO()
    picture.crop(box).save(file, "JPEG", quality=40)
    return fit_pixels(Image.open(file), *FRAME)


@pytest.fixture(scope="module")
def catalogue() -> PhotoMatch:
    pictures = np.stack([fit_pixels(scene(number), *FRAME) for number in range(24)])
    present = torch.ones(24, dtype=torch.bool)
    present[MISSING] = False
    return PhotoMatch(thumbnails_of(pictures), present)


@pytest.mark.parametrize("box", [(0, 0, 120, 150), (10, 5, 110, 140), (0, 20, 95, 150), (25, 0, 120, 120)])
def test_a_crop_finds_its_item(catalogue: PhotoMatch, box: tuple[int, int, int, int]) -> None:
    shown = catalogue.showing(np.stack([photo(scene(number), box) for number in (2, 17)]))
    assert shown.find(0).tolist() == [2]
    assert shown.find(1).tolist() == [17]


def test_another_picture_finds_nothing(catalogue: PhotoMatch) -> None:
    shown = catalogue.showing(np.stack([fit_pixels(scene(99), *FRAME), fit_pixels(scene(MISSING), *FRAME)]))
    assert shown.find(0).tolist() == []
    assert shown.find(1).tolist() == []  # its item has no picture


def test_only_the_items_asked_about_are_looked_at(catalogue: PhotoMatch) -> None:
    shown = catalogue.showing(photo(scene(2), (10, 5, 110, 140))[None])
    assert shown.find(0, np.array([7, 2])).tolist() == [2]
    assert shown.find(0, np.array([7, 3])).tolist() == []
    assert shown.find(0, np.empty(0, dtype=np.int64)).tolist() == []


def test_items_with_the_same_picture_come_together() -> None:
    pictures = np.stack([fit_pixels(scene(number), *FRAME) for number in (0, 1, 1, 2)])
    match = PhotoMatch(thumbnails_of(pictures), torch.ones(4, dtype=torch.bool))
    assert match.showing(photo(scene(1), (10, 5, 110, 140))[None]).find(0).tolist() == [1, 2]


def test_white_borders_are_not_compared() -> None:
    wide = fit_pixels(Image.new("RGB", (60, 20), "red"), *FRAME)
    assert with_mask(wide)[3].sum() == 48 * 16
    assert border(np.array([True, True, False, True])) == 1
    assert border(np.ones(4, dtype=np.bool_)) == 0  # a white picture shows white
