"""RecBole's atomic files (Zhao et al., CIKM 2021): `NAME.inter`, and `NAME.item` where there is one.

The header names each field's type: `user_id:token`, `title:token_seq`, `price:float`, `genre:token_seq`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from unimp.core.errors import ConfigError, DataError
from unimp.data.catalog import Attribute, AttributeKind
from unimp.data.interactions import RatingScale
from unimp.data.picture_check import find_pictures
from unimp.data.raw import ROW, UNLIMITED, BadRows, ImportOptions, RawTables, Rows, no_items
from unimp.data.reading import open_text, stream_fields
from unimp.data.values import numbers, ratings, seconds

THINGS = ("item", "business", "product", "artist", "venue")
"""Words in the names of fields of items."""
RATINGS = ("rating", "stars", "overall")
"""Words in the names of fields of ratings."""
KINDS: dict[str, AttributeKind] = {"token": "category", "token_seq": "categories", "float": "number"}
"""Type of a field -> kind of attribute; sequences of numbers are left out."""
TITLES = re.compile(r"title|name$", re.IGNORECASE)
TEXTS = re.compile(r"title|name|description|text|abstract|summary", re.IGNORECASE)


class Atomic:
    """One file: its fields without their types are the columns, and the header is row 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_text(path, "utf-8") as file:
            header = file.readline().rstrip("\r\n").split("\t")
        self.types: dict[str, str] = dict(field.rpartition(":")[::2] for field in header)
        if len(self.types) < len(header) or "" in self.types:
            raise DataError(f'{path.name}:1: "{" ".join(header)[:60]}" is no header such as user_id:token')

    def field(self, *words: str) -> str | None:
        """The first field whose name holds one of the words."""
        return next((name for word in words for name in self.types if word in name.lower()), None)

    def rows(self, bad: BadRows) -> Iterator[Rows]:
        for rows in stream_fields(self.path, bad, list(self.types), "\t"):
            yield Rows(rows.file, rows.frame.filter(pl.col(ROW) > 1))


class RecBole:
    """Ratings and seconds where the files have them; else the order of the file."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        log = inter_file(path, options.events)
        inter = Atomic(log)
        user, item = inter.field("user", "session"), inter.field(*THINGS)
        if user is None or item is None:
            known = ", ".join(inter.types)
            raise DataError(f"{log.name}:1: needs a field of users and one of items; it has {known}")
        scale = find_scale(inter)
        events = read_events(inter, user, item, scale, bad)
        beside = log.with_suffix(".item")
        pictures = find_pictures(options.pictures, log.parent, ())
        if not beside.exists():
            note = f"no {beside.name}: items have an id and nothing else"
            return RawTables(
                no_items(log.name), (), events,
                rating_scale=scale, pictures=pictures, events_add_items=True, notes=(note,),
            )  # fmt: skip
        items, attributes, title = read_items(Atomic(beside), item, bad)
        return RawTables(items, attributes, events, title, scale, pictures)


def inter_file(path: Path, wanted: str | None) -> Path:
    if not path.is_dir():
        return path
    if wanted is not None:
        if not (path / wanted).is_file():
            raise DataError(f"{path / wanted}: no such file; correct --events")
        return path / wanted
    found = sorted(path.glob("*.inter"))
    if not found:
        raise DataError(f"{path}: has no .inter file; give the folder of RecBole's atomic files")
    if len(found) > 1:
        raise ConfigError(f"{path}: several .inter files; add --events {' | '.join(f.name for f in found)}")
    return found[0]


def find_scale(inter: Atomic) -> RatingScale | None:
    """The scale of the ratings, from their distinct values; None where there is none."""
    rating = inter.field(*RATINGS)
    if rating is None:
        return None
    values = pl.Series(dtype=pl.Float64)
    for rows in inter.rows(BadRows(UNLIMITED)):  # the rows are read once more, and counted then
        values = pl.concat([values, rows.frame[rating].cast(pl.Float64, strict=False)]).unique()
    return scale_of(values)


def read_events(
    inter: Atomic, user: str, item: str, scale: RatingScale | None, bad: BadRows
) -> Iterator[Rows]:
    time, rating = inter.field("timestamp", "time"), inter.field(*RATINGS)
    named = {user: "user_id", item: "item_id"}
    named |= {time: "timestamp"} if time else {}
    named |= {rating: "rating"} if rating and scale else {}
    for read in inter.rows(bad):
        rows = Rows(read.file, read.frame.select(ROW, *named).rename(named))
        if time:
            rows = seconds(rows, "timestamp", bad)
        yield rows if scale is None else ratings(rows, "rating", scale, bad, required=False)


def scale_of(values: pl.Series) -> RatingScale | None:
    """The scale that most data have with such values: steps of a whole or a half; None for other numbers."""
    known = values.drop_nulls().drop_nans()
    low, high = known.min(), known.max()
    if not isinstance(low, float) or not isinstance(high, float) or low == high:
        return None
    for step in (1.0, 0.5):
        if ((known / step).round() * step - known).abs().max() == 0:
            first = step if low >= step else 0.0
            return RatingScale(first, max(5.0, high), step) if first <= low else None
    return None


def read_items(table: Atomic, item: str, bad: BadRows) -> tuple[Rows, tuple[Attribute, ...], str | None]:
    key = item if item in table.types else table.field(*THINGS)
    if key is None:
        raise DataError(f"{table.path.name}:1: has no field of items; it has {', '.join(table.types)}")
    attributes = tuple(
        Attribute(name, "text" if TEXTS.search(name) else KINDS[kind])
        for name, kind in table.types.items()
        if name != key and kind in KINDS and name not in ("item_id", "picture")
    )
    read = pl.concat([rows.frame for rows in table.rows(bad)])
    frame = read.select(ROW, key, *(a.name for a in attributes)).rename({key: "item_id"})
    rows = Rows(
        table.path.name,
        frame.with_columns(pl.col(a.name).str.split(" ") for a in attributes if a.kind == "categories"),
    )
    for attribute in attributes:
        if attribute.kind == "number":
            rows = numbers(rows, attribute.name, bad)
    title = next((a.name for a in attributes if a.kind == "text" and TITLES.search(a.name)), None)
    return rows, attributes, title
