"""Retailrocket: `events.csv` with views, carts and transactions, and what is known of items' categories.

`item_properties_part1.csv` and `…_part2.csv` (hashed but for the category), `category_tree.csv`.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from unimp.core.errors import ConfigError, DataError, did_you_mean
from unimp.data.catalog import Attribute
from unimp.data.picture_check import find_pictures
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import read_csv
from unimp.data.values import reject, seconds

KINDS = ("view", "addtocart", "transaction")
ATTRIBUTES = (Attribute("category", "category"), Attribute("parent_category", "category"))


class Retailrocket:
    """Times are milliseconds; `--events` names the kinds that count, all of them unless said."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        if not (path / "events.csv").exists():
            raise DataError(f"{path}: has no events.csv; give Retailrocket's unpacked folder")
        kinds = chosen_kinds(options.events)
        read = read_csv(
            path / "events.csv", bad, required=("timestamp", "visitorid", "event", "itemid"), optional=()
        )
        rows = Rows(read.file, read.frame.rename({"visitorid": "user_id", "itemid": "item_id"}))
        known = pl.col("event").is_in(KINDS)
        rows = reject(rows, ~known, "event", "unknown kind of event", f"expected {', '.join(KINDS)}", bad)
        counts = {f"{kind}_events": int((rows.frame["event"] == kind).sum()) for kind in KINDS}
        events = Rows(rows.file, rows.frame.filter(pl.col("event").is_in(kinds)).drop("event"))
        events = seconds(events, "timestamp", bad, milliseconds=True)
        named = events.frame.select("item_id", ROW).unique("item_id", keep="first", maintain_order=True)
        items = named.join(categories(path, bad), on="item_id", how="left", maintain_order="left")
        found = ", ".join(f"{count:,} {name.removesuffix('_events')}" for name, count in counts.items())
        return RawTables(
            Rows(events.file, items),
            ATTRIBUTES,
            (events,),
            pictures=find_pictures(options.pictures, path, ()),
            counts=counts,
            notes=(f"events: {found}; {', '.join(kinds)} count (--events {','.join(KINDS)})",),
        )


def chosen_kinds(wanted: str | None) -> list[str]:
    if wanted is None:
        return list(KINDS)
    kinds = [kind.strip() for kind in wanted.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"--events {wanted}: no kind of event{did_you_mean(kind, KINDS)}")
    return kinds


def categories(path: Path, bad: BadRows) -> pl.DataFrame:
    """Each item's latest category, and the one above it; nothing where the files are missing."""
    parts = sorted(path.glob("item_properties*.csv"))
    latest = pl.DataFrame(schema={"item_id": pl.String(), "category": pl.String()})
    if parts:
        columns = ("timestamp", "itemid", "property", "value")
        tables = [
            read_csv(part, bad, required=columns, optional=()).frame.filter(
                pl.col("property") == "categoryid"
            )
            for part in parts
        ]
        latest = (
            pl.concat(tables)
            .sort(pl.col("timestamp").cast(pl.Int64, strict=False), maintain_order=True)
            .unique("itemid", keep="last", maintain_order=True)
            .select(pl.col("itemid").alias("item_id"), pl.col("value").alias("category"))
        )
    tree = pl.DataFrame(schema={"category": pl.String(), "parent_category": pl.String()})
    if (path / "category_tree.csv").exists():
        found = read_csv(path / "category_tree.csv", bad, required=("categoryid", "parentid"), optional=())
        renamed = found.frame.rename({"categoryid": "category", "parentid": "parent_category"})
        tree = renamed.select("category", "parent_category").unique("category", keep="first")
    return latest.join(tree, on="category", how="left", maintain_order="left")
