"""The Yelp open data set: businesses, reviews with stars, and photos where their folder lies beside.

`yelp_academic_dataset_business.json` and `…_review.json` (one object a line); `photos.json` with `photos/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from unimp.core.errors import DataError
from unimp.data.catalog import ATTRIBUTE_DTYPES, Attribute
from unimp.data.interactions import RatingScale
from unimp.data.picture_check import find_pictures
from unimp.data.raw import BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import json_chunks, read_json_lines
from unimp.data.sources.stated_times import stated_time
from unimp.data.values import ratings

STARS = RatingScale(1, 5, 1)
TIMES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
ATTRIBUTES = (
    Attribute("name", "text"),
    Attribute("categories", "categories"),
    Attribute("city", "category"),
    Attribute("state", "category"),
)
ITEM_SCHEMA = {"item_id": pl.String()} | {a.name: ATTRIBUTE_DTYPES[a.kind] for a in ATTRIBUTES}
REVIEW_SCHEMA: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "item_id": pl.String(),
    "rating": pl.Float64(),
    "timestamp": pl.String(),
    "review": pl.String(),
}
PHOTO_SCHEMA: dict[str, pl.DataType] = {"item_id": pl.String(), "picture": pl.String()}


class Yelp:
    """Reviews with stars and the time of day."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        items = read_json_lines(
            one_file(path, "business"), bad, pick_business, ITEM_SCHEMA, show_progress=show_progress
        )
        events = read_reviews(one_file(path, "review"), bad, show_progress)
        pictures = find_pictures(options.pictures, path, ("photos", "photos.zip"))
        if pictures is not None and (path / "photos.json").exists():
            photos = read_json_lines(path / "photos.json", bad, pick_photo, PHOTO_SCHEMA)
            first = photos.frame.group_by("item_id", maintain_order=True).agg(pl.col("picture").first())
            items = Rows(
                items.file,
                items.frame.join(
                    first.select("item_id", "picture"), on="item_id", how="left", maintain_order="left"
                ),
            )
        return RawTables(items, ATTRIBUTES, events, "name", STARS, pictures)


def one_file(folder: Path, kind: str) -> Path:
    """`yelp_academic_dataset_KIND.json`, `KIND.json`, plain or gzipped."""
    for stem in (f"yelp_academic_dataset_{kind}", kind):
        for suffix in (".json", ".json.gz", ".jsonl", ".jsonl.gz"):
            if (folder / f"{stem}{suffix}").exists():
                return folder / f"{stem}{suffix}"
    raise DataError(f"{folder}: has no yelp_academic_dataset_{kind}.json; give Yelp's unpacked folder")


def read_reviews(path: Path, bad: BadRows, show_progress: bool) -> Iterator[Rows]:
    for rows in json_chunks(path, bad, pick_review, REVIEW_SCHEMA, show_progress=show_progress):
        yield ratings(stated_time(rows, TIMES, bad), "rating", STARS, bad)


def pick_business(record: Mapping[str, Any]) -> tuple[Any, ...]:
    listed = record.get("categories")
    parts = listed.split(",") if isinstance(listed, str) else listed or []
    categories = [part.strip() for part in parts if part.strip()]
    blank_to_none = (record.get(name) or None for name in ("city", "state"))
    return (record["business_id"], record.get("name") or None, categories or None, *blank_to_none)


def pick_review(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        record["user_id"],
        record["business_id"],
        float(record["stars"]),
        str(record["date"]),
        (record.get("text") or "").strip() or None,
    )


def pick_photo(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return record["business_id"], f"{record['photo_id']}.jpg"
