"""Retailrocket: `events.csv` with views, carts and transactions, and what is known of items' categories.

`item_properties_part1.csv` and `…_part2.csv` (hashed but for the category), `category_tree.csv`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from unimp.core.errors import ConfigError, DataError, did_you_mean
from unimp.data.catalog import Attribute
from unimp.data.picture_check import find_pictures
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import read_csv, stream_csv
from unimp.data.values import reject, seconds

KINDS = ("view", "addtocart", "transaction")
ATTRIBUTES = (Attribute("category", "category"), Attribute("parent_category", "category"))


class Retailrocket:
    """Times are milliseconds; `--events` names the kinds that count, all of them unless said."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        if not (path / "events.csv").exists():
            raise DataError(f"{path}: has no events.csv; give Retailrocket's unpacked folder")
        kinds = chosen_kinds(options.events)
        counts = dict.fromkeys((f"{kind}_events" for kind in KINDS), 0)
        return RawTables(
            Rows("item_properties", categories(path, bad)),
            ATTRIBUTES,
            read_events(path / "events.csv", kinds, counts, bad),
            pictures=find_pictures(options.pictures, path, ()),
            events_add_items=True,
            counts=counts,
        )


def read_events(path: Path, kinds: Sequence[str], counts: dict[str, int], bad: BadRows) -> Iterator[Rows]:
    """The events of these kinds; those of every kind are counted."""
    columns = ("timestamp", "visitorid", "event", "itemid")
    for read in stream_csv(path, bad, required=columns, optional=()):
        rows = Rows(read.file, read.frame.rename({"visitorid": "user_id", "itemid": "item_id"}))
        known = pl.col("event").is_in(KINDS)
        rows = reject(rows, ~known, "event", "unknown kind of event", f"expected {', '.join(KINDS)}", bad)
        for kind in KINDS:
            counts[f"{kind}_events"] += int((rows.frame["event"] == kind).sum())
        chosen = Rows(rows.file, rows.frame.filter(pl.col("event").is_in(kinds)).drop("event"))
        yield seconds(chosen, "timestamp", bad, milliseconds=True)
    found = ", ".join(f"{count:,} {name.removesuffix('_events')}" for name, count in counts.items())
    bad.note(f"events: {found}; {', '.join(kinds)} count (--events {','.join(KINDS)})")


def chosen_kinds(wanted: str | None) -> list[str]:
    if wanted is None:
        return list(KINDS)
    kinds = [kind.strip() for kind in wanted.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"--events {wanted}: no kind of event{did_you_mean(kind, KINDS)}")
    return kinds


def categories(path: Path, bad: BadRows) -> pl.DataFrame:
    """Each item's latest category, and the one above it; nothing where the files are missing.

    Memory: the categories of all items, however often they changed.
    """
    parts = sorted(path.glob("item_properties*.csv"))
    schema = {"item_id": pl.String(), "category": pl.String(), ROW: pl.Int64(), "time": pl.Int64()}
    latest = pl.DataFrame(schema=schema)
    columns = ("timestamp", "itemid", "property", "value")
    for rows in itertools.chain.from_iterable(
        stream_csv(part, bad, required=columns, optional=()) for part in parts
    ):
        found = rows.frame.filter(pl.col("property") == "categoryid", pl.col("itemid").is_not_null()).select(
            pl.col("itemid").alias("item_id"),
            pl.col("value").alias("category"),
            ROW,
            pl.col("timestamp").cast(pl.Int64, strict=False).alias("time"),
        )
        latest = (
            pl.concat([latest, found])
            .sort("time", maintain_order=True)
            .unique("item_id", keep="last", maintain_order=True)
        )
    latest = latest.sort(ROW).drop("time")
    tree = pl.DataFrame(schema={"category": pl.String(), "parent_category": pl.String()})
    if (path / "category_tree.csv").exists():
        read = read_csv(path / "category_tree.csv", bad, required=("categoryid", "parentid"), optional=())
        renamed = read.frame.rename({"categoryid": "category", "parentid": "parent_category"})
        tree = renamed.select("category", "parent_category").unique("category", keep="first")
    return latest.join(tree, on="category", how="left", maintain_order="left")
