"""RecBole's atomic files (Zhao et al., CIKM 2021): `NAME.inter`, and `NAME.item` where there is one.

The header names each field's type: `user_id:token`, `title:token_seq`, `price:float`, `genre:token_seq`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from unimp.core.errors import ConfigError, DataError
from unimp.data.catalog import Attribute, AttributeKind
from unimp.data.interactions import RatingScale
from unimp.data.picture_check import find_pictures
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import open_text, read_fields
from unimp.data.values import numbers, ratings, seconds

KINDS: dict[str, AttributeKind] = {"token": "category", "token_seq": "categories", "float": "number"}
"""Type of a field -> kind of attribute; sequences of numbers are left out."""
TITLES = re.compile(r"title|name$", re.IGNORECASE)
TEXTS = re.compile(r"title|name|description|text|abstract|summary", re.IGNORECASE)


@dataclass(frozen=True)
class Atomic:
    """One file's rows, and the type of each field."""

    rows: Rows
    types: dict[str, str]

    def field(self, *words: str) -> str | None:
        """The first field whose name holds one of the words."""
        return next((name for word in words for name in self.types if word in name.lower()), None)


class RecBole:
    """Ratings and seconds where the files have them; else the order of the file."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        log = inter_file(path, options.events)
        inter = read_atomic(log, bad)
        user, item = inter.field("user", "session"), inter.field("item", "business", "product")
        if user is None or item is None:
            known = ", ".join(inter.types)
            raise DataError(f"{log.name}:1: needs a field of users and one of items; it has {known}")
        events, scale = read_events(inter, user, item, bad)
        beside = log.with_suffix(".item")
        pictures = find_pictures(options.pictures, log.parent, ())
        if not beside.exists():
            bare = events.frame.select("item_id", ROW).unique("item_id", keep="first", maintain_order=True)
            note = f"no {beside.name}: items have an id and nothing else"
            return RawTables(
                Rows(log.name, bare), (), (events,), rating_scale=scale, pictures=pictures, notes=(note,)
            )
        items, attributes, title = read_items(read_atomic(beside, bad), item, bad)
        return RawTables(items, attributes, (events,), title, scale, pictures)


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


def read_atomic(path: Path, bad: BadRows) -> Atomic:
    """Fields without their types as columns; the header is row 1."""
    with open_text(path, "utf-8") as file:
        header = file.readline().rstrip("\r\n").split("\t")
    types = dict(field.rpartition(":")[::2] for field in header)
    if len(types) < len(header) or "" in types:
        raise DataError(f'{path.name}:1: "{" ".join(header)[:60]}" is no header such as user_id:token')
    rows = read_fields(path, bad, list(types), "\t")
    return Atomic(Rows(rows.file, rows.frame.filter(pl.col(ROW) > 1)), types)


def read_events(inter: Atomic, user: str, item: str, bad: BadRows) -> tuple[Rows, RatingScale | None]:
    time, rating = inter.field("timestamp", "time"), inter.field("rating", "stars", "overall")
    named = {user: "user_id", item: "item_id"}
    named |= {time: "timestamp"} if time else {}
    named |= {rating: "rating"} if rating else {}
    rows = Rows(inter.rows.file, inter.rows.frame.select(ROW, *named).rename(named))
    if time:
        rows = seconds(rows, "timestamp", bad)
    scale = scale_of(rows.frame["rating"].cast(pl.Float64, strict=False)) if rating else None
    if scale is None:
        return Rows(rows.file, rows.frame.drop("rating", strict=False)), None
    return ratings(rows, "rating", scale, bad, required=False), scale


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
    key = item if item in table.types else table.field("item", "business", "product")
    if key is None:
        raise DataError(f"{table.rows.file}:1: has no field of items; it has {', '.join(table.types)}")
    attributes = tuple(
        Attribute(name, "text" if TEXTS.search(name) else KINDS[kind])
        for name, kind in table.types.items()
        if name != key and kind in KINDS and name not in ("item_id", "picture")
    )
    frame = table.rows.frame.select(ROW, key, *(a.name for a in attributes)).rename({key: "item_id"})
    rows = Rows(
        table.rows.file,
        frame.with_columns(pl.col(a.name).str.split(" ") for a in attributes if a.kind == "categories"),
    )
    for attribute in attributes:
        if attribute.kind == "number":
            rows = numbers(rows, attribute.name, bad)
    title = next((a.name for a in attributes if a.kind == "text" and TITLES.search(a.name)), None)
    return rows, attributes, title
