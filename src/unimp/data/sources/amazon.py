"""Amazon reviews as published in 2014, 2018 and 2023: one review a line, and a metadata file if there is one.

2014's metadata lines are Python literals, not JSON; they are parsed as literals and never evaluated.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from unimp.core.errors import ConfigError, DataError
from unimp.data.catalog import ATTRIBUTE_DTYPES, Attribute
from unimp.data.files import open_binary
from unimp.data.interactions import RatingScale
from unimp.data.picture_check import find_pictures
from unimp.data.pictures import PictureSource
from unimp.data.raw import BadRows, ImportOptions, RawTables, Rows, no_items
from unimp.data.reading import json_chunks, read_json_lines
from unimp.data.texts import MISSING, flat_names, without_markup
from unimp.data.values import ratings, seconds

STARS = RatingScale(1, 5, 1)
NO_METADATA = "no metadata file: items have an id and nothing else"
SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
ATTRIBUTES = (
    Attribute("title", "text"),
    Attribute("brand", "category"),
    Attribute("categories", "categories"),
    Attribute("price", "number"),
    Attribute("features", "text"),
    Attribute("description", "text"),
)
REVIEW_SCHEMA: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "item_id": pl.String(),
    "rating": pl.Float64(),
    "timestamp": pl.Int64(),
    "summary": pl.String(),
    "review": pl.String(),
}
ITEM_SCHEMA = {
    "item_id": pl.String(),
    **{a.name: ATTRIBUTE_DTYPES[a.kind] for a in ATTRIBUTES},
    "picture": pl.String(),
}
PRICE = re.compile(r"\$?\s*(\d[\d,]*(?:\.\d+)?)")


class Amazon:
    """Reviews with stars and words; days (2014, 2018) or seconds (2023); pictures only by `--pictures`."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        reviews_file, meta_file = find_files(path, options)
        events = read_reviews(reviews_file, bad, show_progress)
        pictures = find_pictures(options.pictures, path, ())
        if meta_file is None:
            return RawTables(
                no_items(reviews_file.name), (), events,
                rating_scale=STARS, pictures=pictures, events_add_items=True, notes=(NO_METADATA,),
            )  # fmt: skip
        items, repeats = read_metadata(meta_file, pictures, bad, show_progress)
        return RawTables(
            items,
            ATTRIBUTES,
            events,
            "title",
            STARS,
            pictures,
            events_add_items=True,
            counts={"metadata_repeats": repeats},
            notes=(f"{repeats} metadata repeats",) if repeats else (),
        )


def find_files(path: Path, options: ImportOptions) -> tuple[Path, Path | None]:
    """The review file and the metadata file, None when there is none."""
    folder = path if path.is_dir() else path.parent
    files = [file for file in sorted(folder.iterdir()) if file.name.endswith(SUFFIXES)]
    metas = [file for file in files if file.name.startswith("meta")]
    if not path.is_dir():
        reviews = path
    elif options.events is not None:
        reviews = folder / options.events
    else:
        candidates = [file for file in files if file not in metas]
        if not candidates:
            raise DataError(f"{path}: has no review file (*.json, *.jsonl, or gzipped); check the path")
        if len(candidates) > 1:
            names = " | ".join(file.name for file in candidates)
            raise ConfigError(f"{path}: several review files; add --events {names}")
        reviews = candidates[0]
    if options.items is not None:
        given = folder / options.items
        if not given.is_file():
            raise DataError(f"{given}: no such file; correct --items")
        return reviews, given
    same = [file for file in metas if category(file) == category(reviews)]
    if not same and path.is_dir() and len(metas) == 1:
        same = metas  # the folder holds nothing else, so it must be meant
    return reviews, same[0] if same else None


def category(file: Path) -> str:
    """`reviews_Beauty_5.json.gz`, `Beauty_5.json` and `meta_Beauty.jsonl` are all of `Beauty`."""
    stem = file.name.split(".json")[0]
    return re.sub(r"_5$", "", re.sub(r"^(reviews|meta)_", "", stem))


def read_reviews(path: Path, bad: BadRows, show_progress: bool) -> Iterator[Rows]:
    """The reviews; their times are milliseconds (2023) or seconds (2014, 2018)."""
    with open_binary(path) as file:
        first = file.readline()
    is_2023 = b'"parent_asin"' in first
    pick = pick_review_2023 if is_2023 else pick_review_2014
    for rows in json_chunks(path, bad, pick, REVIEW_SCHEMA, show_progress=show_progress):
        events = seconds(rows, "timestamp", bad, milliseconds=is_2023)
        yield ratings(events, "rating", STARS, bad)


def pick_review_2014(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        record["reviewerID"],
        record["asin"],
        float(record["overall"]),
        int(record["unixReviewTime"]),
        words(record.get("summary")),
        words(record.get("reviewText")),
    )


def pick_review_2023(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        record["user_id"],
        record["parent_asin"],
        float(record["rating"]),
        int(record["timestamp"]),
        words(record.get("title")),
        words(record.get("text")),
    )


def read_metadata(
    path: Path, pictures: PictureSource | None, bad: BadRows, show_progress: bool
) -> tuple[Rows, int]:
    """The items, and how many rows the published file has twice.

    Their pictures are web addresses, unless `pictures` has files that are called like the items.
    """
    items = read_json_lines(
        path, bad, pick_item, ITEM_SCHEMA, parse=parse_literal_or_json, show_progress=show_progress
    )
    single = items.frame.unique("item_id", keep="first", maintain_order=True)
    kept = single if pictures is None else single.drop("picture")
    return Rows(items.file, kept), items.frame.height - single.height


def parse_literal_or_json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return ast.literal_eval(line.strip())


def pick_item(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        record["parent_asin"] if "parent_asin" in record else record["asin"],
        words(record.get("title")),
        words(record.get("brand") or record.get("store")),
        category_names(record.get("categories") or record.get("category") or []),
        price_of(record.get("price")),
        listed_words(record.get("features") or record.get("feature")),
        listed_words(record.get("description")),
        "\n".join(picture_addresses(record)) or None,
    )


def picture_addresses(record: Mapping[str, Any]) -> list[str]:
    """All pictures of an item, the main one first: `images` (2023), `imageURL…` (2018), `imUrl` (2014)."""
    images = record.get("images")
    if isinstance(images, list):
        listed = [image.get("large") or image.get("hi_res") for image in images if isinstance(image, dict)]
        return [address for address in listed if isinstance(address, str)]
    found = record.get("imageURLHighRes") or record.get("imageURL") or record.get("imUrl") or []
    return [address for address in ([found] if isinstance(found, str) else found) if address]


def words(value: object) -> str | None:
    """Text, or a list of texts in one, without markup; None when blank."""
    if isinstance(value, list):
        value = " ".join(str(part) for part in value)
    return (without_markup(value) or None) if isinstance(value, str) else None


def listed_words(value: object) -> str | None:
    """`words` of a field that should be a list, and may be one that is written as text."""
    return words(flat_names(value))


def category_names(value: object) -> list[str] | None:
    """Every category once, in order; the file lists names, or lists of names, or has such a list as text."""
    names = (without_markup(name) for name in flat_names(value))
    return list(dict.fromkeys(name for name in names if name not in MISSING)) or None


def price_of(value: object) -> float | None:
    """A price in the currency of the shop; None where the file has page fragments instead."""
    if isinstance(value, (int, float)):
        return float(value)
    match = PRICE.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(match[1].replace(",", "")) if match else None
