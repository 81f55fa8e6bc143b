"""`write_shop`: the generated shop as an ordinary data folder, and its hidden truth in side tables."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from unimp.core.images import png_bytes
from unimp.data.catalog import Attribute, Catalog
from unimp.data.dataset import Dataset
from unimp.data.interactions import COLUMNS, Interactions, RatingScale
from unimp.data.parquet import read_table
from unimp.data.pictures import PictureSource
from unimp.demo.shop.drawing import OVERSAMPLING, Stencil, paint
from unimp.demo.shop.people import LAUNCHED, ShopEvent, ShopUser, make_events, make_users, user_table
from unimp.demo.shop.settings import ShopConfig
from unimp.demo.shop.silhouettes import SILHOUETTES
from unimp.demo.shop.stock import Assortment, hidden_table, make_stock, to_catalog
from unimp.demo.shop.words import write_query, write_review

PICTURES, HIDDEN, USERS = "pictures.zip", "hidden.parquet", "users.parquet"
ZIP_TIME = (2024, 1, 1, 0, 0, 0)
"""Time of every member of the zip, so that equal pictures make equal files."""


def write_shop(
    folder: Path | str, config: ShopConfig | None = None, *, seed: int = 0, overwrite: bool = False
) -> Dataset:
    """Generate the shop into `folder`; the same seed and config give the same bytes.

    Raises DataError when the folder exists and `overwrite` is not set, or when it cannot be written.
    """
    folder, config = Path(folder), config or ShopConfig()
    stock_rng, paint_rng, people_rng, words_rng = np.random.default_rng(seed).spawn(4)
    stock = make_stock(config, stock_rng)
    users = make_users(config, people_rng)
    events = make_events(stock, users, config, people_rng)

    def write_extras(target: Path) -> None:
        write_pictures(target / PICTURES, stock, config, paint_rng)
        hidden_table(stock).write_parquet(target / HIDDEN)
        user_table(users).write_parquet(target / USERS)

    return Dataset.write(
        folder,
        to_catalog(stock, PictureSource(folder / PICTURES)),
        Interactions(event_table(events, users, stock, config, words_rng), RatingScale(1.0, 5.0, 1.0)),
        source="shop",
        options={"seed": seed, **config.model_dump()},
        queries=query_table(events, users, stock, config, words_rng),
        counts={"items": len(stock), "users": len(users), "events": len(events)},
        notes=("Generated. hidden.parquet and users.parquet are for evaluation only; no model reads them.",),
        overwrite=overwrite,
        extra=write_extras,
    )


def hidden_items(folder: Path | str) -> pl.DataFrame:
    """What only the pictures show, in item-row order: item_id, colour, pattern, cut."""
    return read_table(Path(folder) / HIDDEN)


def shop_users(folder: Path | str) -> pl.DataFrame:
    """Every user's taste: user_id, taste ("picture", "text", "habit") and what is preferred, null if unused.

    The preferences are colour, pattern, category, brand and line.
    """
    return read_table(Path(folder) / USERS)


def write_pictures(path: Path, stock: Assortment, config: ShopConfig, rng: np.random.Generator) -> None:
    """One PNG for every item that has a picture, in a zip whose bytes depend on the pictures alone."""
    size = config.picture_size * OVERSAMPLING
    stencils = {
        (category, cut): Stencil(silhouette, size)
        for category, cuts in SILHOUETTES.items()
        for cut, silhouette in cuts.items()
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for item in stock.items:
            stencil = stencils[item.category, item.cut]
            image = paint(stencil, item.colour, item.pattern, config.picture_size, rng)
            if item.picture is not None:
                archive.writestr(zipfile.ZipInfo(item.picture, ZIP_TIME), png_bytes(image))


def event_table(
    events: list[ShopEvent],
    users: list[ShopUser],
    stock: Assortment,
    config: ShopConfig,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """The interaction table; ratings follow taste, the user's bias and the item's quality."""
    ratings: list[float] = []
    reviews: list[tuple[str | None, str | None]] = []
    for event in events:
        user, item = users[event.user], stock.items[event.item]
        score = 2.2 + 2.1 * event.suits + user.bias + 0.35 * item.quality + rng.normal(0.0, 0.35)
        rating = float(np.clip(round(score), 1, 5))
        ratings.append(rating)
        visual = user.taste == "picture" or (user.taste == "habit" and rng.random() < 0.5)
        review = write_review(item.wording, rating, visual, rng)
        reviews.append(review if rng.random() < config.reviewed_share else (None, None))
    return pl.DataFrame(
        {
            "user_id": [users[event.user].user_id for event in events],
            "item_row": [event.item for event in events],
            "timestamp": [event.timestamp for event in events],
            "rating": ratings,
            "summary": [summary for summary, _ in reviews],
            "review": [review for _, review in reviews],
        },
        schema=COLUMNS,
    )


def query_table(
    events: list[ShopEvent],
    users: list[ShopUser],
    stock: Assortment,
    config: ShopConfig,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Searches that led to an event, each one second before it; see docs/shop.md."""
    rows: dict[str, list[str | int]] = {"user_id": [], "item_row": [], "timestamp": [], "text": []}
    remaining = np.bincount([event.user for event in events], minlength=len(users))
    for event in events:
        remaining[event.user] -= 1
        visual = bool(rng.random() < config.visual_query_share)
        text = write_query(stock.items[event.item].wording, visual, rng)
        if rng.random() >= config.queried_share and remaining[event.user] >= LAUNCHED:
            continue
        rows["user_id"].append(users[event.user].user_id)
        rows["item_row"].append(event.item)
        rows["timestamp"].append(event.timestamp - 1)
        rows["text"].append(text)
    return pl.DataFrame(rows)


def with_hidden(catalog: Catalog, folder: Path) -> Catalog:
    """The catalogue with what only its pictures show: colour and pattern. For the judge of pictures alone."""
    names = ("colour", "pattern")
    return replace(
        catalog,
        items=catalog.items.with_columns(hidden_items(folder).select(names)),
        attributes=(*catalog.attributes, *(Attribute(name, "category") for name in names)),
    )
