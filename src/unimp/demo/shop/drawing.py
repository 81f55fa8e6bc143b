"""Pictures of items: an outline, filled with a colour and a pattern. Drawn large, then scaled down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from unimp.demo.shop.silhouettes import Outline, Silhouette

Layer = npt.NDArray[np.floating[Any]]
"""[S, S] coverage between 0 and 1."""

OVERSAMPLING = 3
"""Pixels drawn for each pixel kept, in each direction."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (205, 38, 46),
    "orange": (238, 110, 20),
    "yellow": (246, 212, 50),
    "green": (52, 146, 70),
    "blue": (40, 98, 196),
    "purple": (122, 62, 160),
    "pink": (240, 128, 176),
    "black": (48, 48, 54),
}
PATTERNS = ("plain", "stripes", "dots", "checks")

PAPER, CREAM, METAL = (247, 246, 243), (252, 249, 241), (112, 106, 102)


@dataclass(frozen=True)
class Stencil:
    """A silhouette turned into layers, once for all items that share it."""

    silhouette: Silhouette
    size: int
    """Width and height of the layers, in drawn pixels."""

    @cached_property
    def body(self) -> Layer:
        return filled(self.silhouette.body, self.size)

    @cached_property
    def under(self) -> Layer:
        return filled(self.silhouette.under, self.size)

    @cached_property
    def stand(self) -> Layer:
        return filled(self.silhouette.stand, self.size)

    @cached_property
    def inside(self) -> Layer:
        return filled(self.silhouette.inside, self.size)

    @cached_property
    def light(self) -> Layer:
        return filled(self.silhouette.light, self.size)

    @cached_property
    def lines(self) -> Layer:
        """Strokes on the body and the edge of all coloured parts."""
        canvas = Image.new("L", (self.size, self.size))
        draw = ImageDraw.Draw(canvas)
        for line in self.silhouette.lines:
            draw.line(scaled(line, self.size), fill=190, width=max(1, self.size // 72), joint="curve")
        whole = np.maximum(self.body, self.under)
        edge = whole - eroded(whole, self.size // 85)
        lines: Layer = np.maximum(as_layer(canvas) * self.body, edge)
        return lines

    @cached_property
    def shadow(self) -> Layer:
        """A soft shadow to the lower right, where nothing else is painted."""
        whole = np.maximum(np.maximum(self.body, self.under), self.stand)
        image = Image.fromarray((whole * 255).astype(np.uint8))
        soft = as_layer(image.filter(ImageFilter.GaussianBlur(self.size / 40)))
        shift = self.size // 40
        moved: Layer = np.roll(soft, (shift, shift), axis=(0, 1)) * (1.0 - whole)
        return moved

    @cached_property
    def shine(self) -> Layer:
        """Brightness factor of the body: light from the upper left."""
        down, right = np.mgrid[0.0 : 1.0 : self.size * 1j, 0.0 : 1.0 : self.size * 1j]
        factor: Layer = (1.10 - 0.12 * right - 0.10 * down).astype(np.float32)
        return factor


def scaled(outline: Outline, size: int) -> list[tuple[float, float]]:
    return [(x * size, y * size) for x, y in outline]


def as_layer(image: Image.Image) -> Layer:
    return np.asarray(image, dtype=np.float32) / 255.0


def filled(outlines: Sequence[Outline], size: int) -> Layer:
    """The union of `outlines`; blurring and cutting at half rounds the corners."""
    canvas = Image.new("L", (size, size))
    draw = ImageDraw.Draw(canvas)
    for outline in outlines:
        draw.polygon(scaled(outline, size), fill=255)
    soft = as_layer(canvas.filter(ImageFilter.GaussianBlur(size / 90)))
    sharp: Layer = np.clip((soft - 0.5) * 4.0 + 0.5, 0.0, 1.0)
    return sharp


def eroded(layer: Layer, pixels: int) -> Layer:
    image = Image.fromarray((layer * 255).astype(np.uint8))
    return as_layer(image.filter(ImageFilter.MinFilter(2 * max(1, pixels) + 1)))


def pattern_layer(pattern: str, size: int, rng: np.random.Generator) -> Layer:
    """Where the second colour goes: [size, size]. Width and phase differ a little from item to item."""
    period = size / 6.5 * rng.uniform(0.9, 1.1)
    offset = rng.uniform(0.0, period, size=2)
    down, right = np.mgrid[0:size, 0:size].astype(np.float32)
    y, x = (down + offset[0]) / period, (right + offset[1]) / period
    second: npt.NDArray[Any]
    if pattern == "stripes":
        second = (y % 1.0) < 0.45
    elif pattern == "dots":
        # Every other row of dots is shifted by half a period.
        x = x + 0.5 * (np.floor(y) % 2)
        second = ((x % 1.0) - 0.5) ** 2 + ((y % 1.0) - 0.5) ** 2 < 0.095
    elif pattern == "checks":
        second = 0.475 * ((x % 1.0) < 0.5) + 0.475 * ((y % 1.0) < 0.5)
    else:
        assert pattern == "plain", pattern
        second = np.zeros((size, size))
    return second.astype(np.float32)


def paint(
    stencil: Stencil, colour: str, pattern: str, picture_size: int, rng: np.random.Generator
) -> Image.Image:
    """One picture, `picture_size` pixels square, on light paper."""
    size = stencil.size
    tint = np.clip(np.array(COLOURS[colour]) + rng.normal(0.0, 4.0, 3), 0, 255).astype(np.float32)
    dark = tint * 0.55
    second = pattern_layer(pattern, size, rng)[..., None]
    cloth = (tint + second * (np.array(CREAM, dtype=np.float32) - tint)) * stencil.shine[..., None]
    canvas = np.empty((size, size, 3), dtype=np.float32)
    canvas[:] = PAPER
    canvas *= 1.0 - 0.22 * stencil.shadow[..., None]
    layers: tuple[tuple[Layer, object], ...] = (
        (stencil.stand, METAL),
        (stencil.under, tint * 0.8),
        (stencil.body, cloth),
        (stencil.inside, dark),
        (stencil.light, CREAM),
        (stencil.lines, dark),
    )
    for coverage, fill in layers:
        if coverage.any():
            canvas += coverage[..., None] * (np.asarray(fill, dtype=np.float32) - canvas)
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    # Items are not all photographed from the same spot: crop a little differently each time.
    side = size * rng.uniform(0.95, 1.0)
    left, top = rng.uniform(0.0, size - side, size=2)
    window = (left, top, left + side, top + side)
    return image.resize((picture_size, picture_size), Image.Resampling.LANCZOS, box=window)
