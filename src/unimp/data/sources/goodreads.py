"""Goodreads (UCSD Book Graph, Wan and McAuley, RecSys 2018): books, and shelvings or reviews of them.

`goodreads_books*.json[.gz]` and one `goodreads_interactions*.json[.gz]` or `goodreads_reviews*.json[.gz]`; or
`goodreads_interactions.csv`, whose numbers of books `book_id_map.csv` turns into ids. That CSV has no times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from unimp.core.errors import ConfigError, DataError
from unimp.data.catalog import ATTRIBUTE_DTYPES, Attribute
from unimp.data.interactions import RatingScale
from unimp.data.picture_check import find_pictures
from unimp.data.raw import BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import json_chunks, read_csv, read_json_lines, stream_csv
from unimp.data.sources.stated_times import stated_time
from unimp.data.values import ratings

STARS = RatingScale(1, 5, 1)
TIMES = ("%a %b %d %H:%M:%S %z %Y", "%Y-%m-%d")
UNDATED = "no times: each user's events are in random order, so that the held-out ones are a random choice"
ATTRIBUTES = (
    Attribute("title", "text"),
    Attribute("publisher", "category"),
    Attribute("language", "category"),
    Attribute("year", "number"),
    Attribute("pages", "number"),
    Attribute("shelves", "categories"),
    Attribute("description", "text"),
)
ITEM_SCHEMA = {
    "item_id": pl.String(),
    **{a.name: ATTRIBUTE_DTYPES[a.kind] for a in ATTRIBUTES},
    "picture": pl.String(),
}
EVENT_SCHEMA: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "item_id": pl.String(),
    "rating": pl.Float64(),
    "timestamp": pl.String(),
    "review": pl.String(),
}
SHELVES = 5
"""Of a book's most popular shelves."""
OWN_SHELVES = {"to-read", "currently-reading", "owned", "favorites", "books-i-own", "default", "kindle"}
"""Say something of the reader, not of the book."""


class Goodreads:
    """Stars where there are any (0 is none), the time a book was shelved, covers as web addresses."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        books = one_file(path, options.items, ("goodreads_books",), "--items")
        log = one_file(path, options.events, ("goodreads_interactions", "goodreads_reviews"), "--events")
        items = read_json_lines(books, bad, pick_book, ITEM_SCHEMA, show_progress=show_progress)
        is_csv = ".csv" in log.suffixes
        events = read_csv_log(log, bad, show_progress) if is_csv else read_log(log, bad, show_progress)
        found = find_pictures(options.pictures, path, ("covers", "covers.zip"))
        return RawTables(
            items, ATTRIBUTES, events, "title", STARS, found,
            ordered=not is_csv, notes=(f"events of {log.name}", *((UNDATED,) if is_csv else ())),
        )  # fmt: skip


def read_log(path: Path, bad: BadRows, show_progress: bool) -> Iterator[Rows]:
    for rows in json_chunks(path, bad, pick_event, EVENT_SCHEMA, show_progress=show_progress):
        yield ratings(stated_time(rows, TIMES, bad), "rating", STARS, bad, required=False)


def read_csv_log(path: Path, bad: BadRows, show_progress: bool) -> Iterator[Rows]:
    """The shelvings without times; their books are numbers of `book_id_map.csv`."""
    numbered = path.parent / "book_id_map.csv"
    if not numbered.exists():
        raise DataError(f"{path.parent}: has no book_id_map.csv, which {path.name} needs; fetch it too")
    ids = read_csv(numbered, bad, required=("book_id_csv", "book_id"), optional=()).frame
    columns = ("user_id", "book_id", "rating")
    for rows in stream_csv(path, bad, required=columns, optional=(), show_progress=show_progress):
        named = rows.frame.rename({"book_id": "book_id_csv"}).join(
            ids.select("book_id_csv", item_id="book_id"), on="book_id_csv", how="left", maintain_order="left"
        )
        events = Rows(rows.file, named.drop("book_id_csv"))
        yield ratings(events, "rating", STARS, bad, required=False)


def one_file(folder: Path, wanted: str | None, stems: tuple[str, ...], option: str) -> Path:
    if wanted is not None:
        if not (folder / wanted).is_file():
            raise DataError(f"{folder / wanted}: no such file; correct {option}")
        return folder / wanted
    found = [file for stem in stems for file in sorted(folder.glob(f"{stem}*.json*"))]
    if "goodreads_interactions" in stems:
        found += sorted(folder.glob("goodreads_interactions*.csv*"))
    if not found:
        raise DataError(f"{folder}: has no {stems[0]}*.json or .json.gz; give the folder of the book graph")
    if len(found) > 1:
        raise ConfigError(f"{folder}: several files; add {option} {' | '.join(f.name for f in found)}")
    return found[0]


def pick_book(record: Mapping[str, Any]) -> tuple[Any, ...]:
    shelves = [str(shelf["name"]) for shelf in record.get("popular_shelves") or []]
    picture = record.get("image_url") or None
    return (
        str(record["book_id"]),
        record.get("title_without_series") or record.get("title") or None,
        record.get("publisher") or None,
        record.get("language_code") or None,
        number_or_none(record.get("publication_year")),
        number_or_none(record.get("num_pages")),
        [name for name in shelves if name not in OWN_SHELVES][:SHELVES] or None,
        (record.get("description") or "").strip() or None,
        None if picture is None or "/nophoto/" in picture else picture,
    )


def number_or_none(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def pick_event(record: Mapping[str, Any]) -> tuple[Any, ...]:
    stars = float(record["rating"])
    return (
        record["user_id"],
        str(record["book_id"]),
        stars or None,
        # the reviews marked for spoilers have another field, a day
        record["date_added"] if "date_added" in record else record["timestamp"],
        (record.get("review_text") or record.get("review_text_incomplete") or "").strip() or None,
    )
