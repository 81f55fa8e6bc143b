"""A small data set with pictures: users follow a ring of items, each item's colour says its place."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from unimp.data.catalog import Attribute, Catalog
from unimp.data.dataset import Dataset
from unimp.data.interactions import COLUMNS, Interactions, RatingScale
from unimp.data.pictures import PictureSource
from unimp.runs.recipe import Recipe

NUM_ITEMS, NUM_USERS = 20, 60

TINY = {
    "sentence": {"fields": []},
    "content": {"text": 8},
    "vision": {"height": 16, "image_width": 16, "token_width": 8, "pretrain_epochs": 1},
    "model": {"width": 16, "layers": 2, "heads": 2, "hidden": 32, "dropout": 0.2},
    "structure": {"kind": "cosine", "neighbours": 10},
    "train": {"epochs": 4, "lr": 5e-3, "batch_positions": 128, "threads": 1},
}


def tiny_recipe(**tables: dict[str, object]) -> Recipe:
    """TINY with some keys changed."""
    values = {name: {**TINY.get(name, {}), **tables.get(name, {})} for name in {*TINY, *tables}}
    return Recipe.parse(values, "test")


def write_pictures(folder: Path) -> None:
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for item in range(1, NUM_ITEMS):
            file = io.BytesIO()
            colour = (item * 12, 255 - item * 12, 128)
            Image.new("RGB", (20, 16), colour).save(file, "PNG")
            archive.writestr(f"{item}.png", file.getvalue())


@pytest.fixture
def tiny_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """20 items (the first without a picture), 60 users, ratings, no times."""
    monkeypatch.setenv("UNIMP_CACHE", str(tmp_path / "cache"))
    return write_ring(tmp_path / "data")


def write_ring(folder: Path) -> Dataset:
    """What `tiny_dataset` is."""
    rng = np.random.default_rng(0)
    items = pl.DataFrame(
        {
            "item_id": [f"i{item:02}" for item in range(NUM_ITEMS)],
            "picture": [None, *(f"{item}.png" for item in range(1, NUM_ITEMS))],
            "title": [f"thing number {item} of kind {item % 3}" for item in range(NUM_ITEMS)],
            "brand": [None if item == 3 else f"brand{item % 4}" for item in range(NUM_ITEMS)],
        }
    )
    users, rows, ratings = [], [], []
    for user in range(NUM_USERS):
        start, length = int(rng.integers(NUM_ITEMS)), int(rng.integers(4, 12))
        users += [f"u{user:03}"] * length
        rows += [(start + step) % NUM_ITEMS for step in range(length)]
        ratings += rng.integers(1, 6, length).tolist()
    events = pl.DataFrame({"user_id": users, "item_row": rows, "rating": ratings}).with_columns(
        timestamp=None, summary=None, review=None
    )
    catalog = Catalog(
        items,
        (Attribute("title", "text"), Attribute("brand", "category")),
        "title",
        PictureSource(folder / "pictures.zip"),
    )
    interactions = Interactions(
        events.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items()), RatingScale(1, 5, 1)
    )
    return Dataset.write(folder, catalog, interactions, source="test", extra=write_pictures)
