"""The items: what the catalogue says of them, what only the picture shows, and when they arrive."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import IntArray
from unimp.data.pictures import PictureSource
from unimp.demo.shop.drawing import COLOURS, PATTERNS
from unimp.demo.shop.settings import ShopConfig
from unimp.demo.shop.silhouettes import SILHOUETTES
from unimp.demo.shop.words import BRANDS, LINES, NAMES, Wording, describe

CATEGORIES = tuple(SILHOUETTES)
ATTRIBUTES = (
    Attribute("title", "text"),
    Attribute("category", "category"),
    Attribute("brand", "category"),
    Attribute("price", "number"),
    Attribute("description", "text"),
)
BASE_PRICES = dict(zip(CATEGORIES, (18.0, 42.0, 48.0, 85.0, 55.0, 9.0, 36.0, 16.0), strict=True))
LINE_FACTORS = (0.7, 1.0, 1.5, 2.2)
"""Price of a line relative to its category's base price; individual prices vary by a tenth."""


@dataclass(frozen=True)
class ShopItem:
    """One item with everything that is true of it, whether or not the catalogue says so."""

    item_id: str
    title: str
    category: str
    brand: str
    line: str
    price: float
    description: str
    colour: str
    pattern: str
    cut: str
    core: bool
    """In stock from the first day; otherwise an arrival of the new season."""
    arrives: float
    """Day it can first be met by people who do not wait for the launch; 0 for core items."""
    quality: float
    """Standard normal; moves every rating of the item."""
    popularity: float
    """Weight when people choose without regard to their taste."""
    has_brand: bool
    has_description: bool
    has_picture: bool

    @property
    def picture(self) -> str | None:
        return f"{self.item_id}.png" if self.has_picture else None

    @property
    def wording(self) -> Wording:
        brand = self.brand if self.has_brand else None
        return Wording(self.category, brand, self.line, self.price, self.colour, self.pattern, self.cut)


@dataclass(frozen=True)
class Assortment:
    """All items, in row order, and their properties as arrays of codes, [num_items] each."""

    items: tuple[ShopItem, ...]

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def colour(self) -> IntArray:
        return np.array([tuple(COLOURS).index(item.colour) for item in self.items])

    @cached_property
    def pattern(self) -> IntArray:
        return np.array([PATTERNS.index(item.pattern) for item in self.items])

    @cached_property
    def category(self) -> IntArray:
        return np.array([CATEGORIES.index(item.category) for item in self.items])

    @cached_property
    def brand(self) -> IntArray:
        return np.array([BRANDS.index(item.brand) for item in self.items])

    @cached_property
    def line(self) -> IntArray:
        return np.array([LINES.index(item.line) for item in self.items])

    @cached_property
    def core(self) -> npt.NDArray[np.bool_]:
        return np.array([item.core for item in self.items])

    @cached_property
    def arrives(self) -> npt.NDArray[np.float64]:
        return np.array([item.arrives for item in self.items])

    @cached_property
    def popularity(self) -> npt.NDArray[np.float64]:
        return np.array([item.popularity for item in self.items])


def balanced(num_items: int, levels: int, rng: np.random.Generator) -> IntArray:
    """Codes 0 … levels-1, equally often, in random order, so that no code tells another or the item id."""
    return rng.permutation(np.arange(num_items) % levels)


def core_items(style: IntArray, share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Mark `share` of every visual style's items as core."""
    core = np.zeros(len(style), dtype=np.bool_)
    for code in np.unique(style):
        members = rng.permutation(np.flatnonzero(style == code))
        core[members[: round(share * len(members))]] = True
    return core


def make_titles(category: IntArray, rng: np.random.Generator) -> list[str]:
    """A name and the category: unique within a catalogue of at most NAMES x categories, else numbered."""
    titles = [""] * len(category)
    for code, noun in enumerate(CATEGORIES):
        names = rng.permutation(len(NAMES))
        for turn, row in enumerate(np.flatnonzero(category == code)):
            round_number, name = divmod(turn, len(NAMES))
            suffix = f" {round_number + 1}" if round_number else ""
            titles[row] = f"{NAMES[names[name]]} {noun}{suffix}"
    return titles


def make_stock(config: ShopConfig, rng: np.random.Generator) -> Assortment:
    """Draw every item's properties independently, so that nothing in words tells what only pictures show."""
    count = config.num_items
    style = balanced(count, len(COLOURS) * len(PATTERNS), rng)
    category, brand, line = (balanced(count, len(levels), rng) for levels in (CATEGORIES, BRANDS, LINES))
    cut = balanced(count, 3, rng)
    core = core_items(style, config.core_share, rng)
    first_preview = config.old_days * (1.0 - config.preview_share)
    arrives = np.where(core, 0.0, rng.uniform(first_preview, config.old_days, count))
    popularity = (1.0 + rng.permutation(count)) ** -config.popularity
    quality = rng.normal(size=count)
    missing = rng.random((count, 3)) < config.missing_share
    titles = make_titles(category, rng)
    items = []
    for row in range(count):
        kind, band = CATEGORIES[category[row]], LINES[line[row]]
        price = BASE_PRICES[kind] * LINE_FACTORS[line[row]] * rng.uniform(0.9, 1.1)
        item = ShopItem(
            item_id=f"P{row:05d}",
            title=titles[row],
            category=kind,
            brand=BRANDS[brand[row]],
            line=band,
            price=round(price * 2) / 2 - 0.05,
            description=describe(kind, band, rng),
            colour=tuple(COLOURS)[style[row] // len(PATTERNS)],
            pattern=PATTERNS[style[row] % len(PATTERNS)],
            cut=tuple(SILHOUETTES[kind])[cut[row]],
            core=bool(core[row]),
            arrives=float(arrives[row]),
            quality=float(quality[row]),
            popularity=float(popularity[row]),
            has_brand=not missing[row, 0],
            has_description=not missing[row, 1],
            has_picture=not missing[row, 2],
        )
        items.append(item)
    return Assortment(tuple(items))


def to_catalog(stock: Assortment, pictures: PictureSource) -> Catalog:
    """What the catalogue says: no hidden attribute, missing values null."""
    items = stock.items
    table = pl.DataFrame(
        {
            "item_id": [item.item_id for item in items],
            "picture": [item.picture for item in items],
            "title": [item.title for item in items],
            "category": [item.category for item in items],
            "brand": [item.brand if item.has_brand else None for item in items],
            "price": [round(item.price, 2) for item in items],
            "description": [item.description if item.has_description else None for item in items],
        }
    )
    return Catalog(table, ATTRIBUTES, "title", pictures)


def hidden_table(stock: Assortment) -> pl.DataFrame:
    """What only the pictures show: item_id, colour, pattern, cut."""
    columns = ("item_id", "colour", "pattern", "cut")
    return pl.DataFrame({name: [getattr(item, name) for item in stock.items] for name in columns})
