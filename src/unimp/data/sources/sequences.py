"""Sequence files: `user item item …` on each line, oldest first, and an optional table of items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from unimp.core.errors import ConfigError, DataError
from unimp.data.catalog import Attribute
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows, no_items
from unimp.data.reading import open_text, read_csv

ITEMS = ("items.csv", "items.csv.gz")
TABLE_EVENTS = 1 << 18


class Sequences:
    """Order only: no times, no ratings, no pictures."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        file = sequence_file(path, options.events)
        events = read_sequences(file, bad)
        items_file = items_table(file.parent, options.items)
        if items_file is None:
            note = "no table of items: items have an id and nothing else"
            return RawTables(no_items(file.name), (), events, events_add_items=True, notes=(note,))
        table = read_csv(items_file, bad, required=("item_id",), optional=("title", "attributes"))
        attributes: tuple[Attribute, ...] = ()
        frame = table.frame
        if "title" in frame.columns:
            attributes += (Attribute("title", "text"),)
        if "attributes" in frame.columns:
            frame = brand_and_categories(frame)
            attributes += (Attribute("brand", "category"), Attribute("categories", "categories"))
        title = "title" if "title" in frame.columns else None
        return RawTables(
            Rows(table.file, frame),
            attributes,
            events,
            title,
            notes=("order only: no event has a time",),
        )


def sequence_file(path: Path, wanted: str | None) -> Path:
    """PATH itself, the file that was asked for, or the one sequence file of the folder."""
    if not path.is_dir():
        return path
    choices = sorted(file for file in path.iterdir() if file.name.endswith((".txt", ".txt.gz")))
    if wanted is not None:
        if not (path / wanted).is_file():
            raise DataError(f"{path / wanted}: no such file; correct --events")
        return path / wanted
    if not choices:
        raise DataError(f"{path}: has no .txt file of sequences; check the path")
    usual = [file for file in choices if file.name.startswith("sequences")]
    if len(choices) > 1 and len(usual) != 1:
        names = " | ".join(file.name for file in choices)
        raise ConfigError(f"{path}: several sequence files; add --events {names}")
    return usual[0] if len(usual) == 1 else choices[0]


def items_table(folder: Path, wanted: str | None) -> Path | None:
    if wanted is None:
        return next((folder / name for name in ITEMS if (folder / name).exists()), None)
    if not (folder / wanted).is_file():
        raise DataError(f"{folder / wanted}: no such file; correct --items")
    return folder / wanted


def read_sequences(path: Path, bad: BadRows) -> Iterator[Rows]:
    """One event per item of a line; ROW is the line. Memory: the ids of the users, and one table."""
    users: list[str] = []
    items: list[str] = []
    lines: list[int] = []
    seen: set[str] = set()

    def table() -> Rows:
        text = pl.DataFrame({"user_id": users, "item_id": items}, schema_overrides={"user_id": pl.String})
        return Rows(path.name, text.with_columns(pl.Series(ROW, lines, dtype=pl.Int64)))

    with open_text(path, "utf-8") as file:
        for number, line in enumerate(file, start=1):
            user, *rest = line.split() or [""]
            if not rest or user in seen:
                if user:
                    problem = "is on an earlier line too" if rest else "has no items"
                    remedy = "join the lines" if rest else "write `user item item …`"
                    bad.add(f'{path.name}:{number}: user "{user}" {problem}; {remedy} or delete it')
                continue
            seen.add(user)
            users += [user] * len(rest)
            items += rest
            lines += [number] * len(rest)
            if len(items) >= TABLE_EVENTS:
                yield table()
                users, items, lines = [], [], []
    yield table()


def brand_and_categories(frame: pl.DataFrame) -> pl.DataFrame:
    """`brand|category|…`: the first name is the brand, unless it is a category of other items.

    Items without a brand begin with their first category, and a brand "Unknown" is none.
    """
    parts = frame.with_columns(pl.col("attributes").str.split("|").alias("_parts"))
    later = parts.select(pl.col("_parts").list.slice(1).explode().drop_nulls().unique())["_parts"]
    first = pl.col("_parts").list.first()
    has_brand = first.is_not_null() & ~first.is_in(later.to_list())
    rest = pl.when(has_brand).then(pl.col("_parts").list.slice(1)).otherwise(pl.col("_parts"))
    brand = pl.when(has_brand & (first != "Unknown")).then(first)
    return parts.with_columns(brand.alias("brand"), rest.alias("categories")).drop("_parts", "attributes")
