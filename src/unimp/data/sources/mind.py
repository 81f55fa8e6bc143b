"""MIND, clicks on news (Wu et al., ACL 2020): `news.tsv` and `behaviors.tsv`, one part or several folders."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from unimp.core.errors import DataError
from unimp.data.catalog import Attribute
from unimp.data.picture_check import find_pictures
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import read_fields
from unimp.data.sources.stated_times import stated_time

NEWS = ("item_id", "category", "subcategory", "title", "abstract", "url", "entities", "abstract_entities")
BEHAVIOURS = ("impression", "user_id", "timestamp", "history", "impressions")
TIMES = ("%m/%d/%Y %I:%M:%S %p",)
ATTRIBUTES = (
    Attribute("title", "text"),
    Attribute("category", "category"),
    Attribute("subcategory", "category"),
    Attribute("abstract", "text"),
)


class Mind:
    """Order only: what a user had clicked before has no time, and comes before the clicks that have one."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        folders = parts(path)
        news = [read_fields(folder / "news.tsv", bad, NEWS, "\t") for folder in folders]
        items = pl.concat([table.frame for table in news]).unique(
            "item_id", keep="first", maintain_order=True
        )
        logs = [read_behaviours(folder / "behaviors.tsv", bad) for folder in folders]
        return RawTables(
            Rows("news.tsv", items.select(ROW, "item_id", *(a.name for a in ATTRIBUTES))),
            ATTRIBUTES,
            (Rows("behaviors.tsv", clicks(pl.concat(logs))),),
            "title",
            pictures=find_pictures(options.pictures, path, ()),
            notes=("order only: the clicks before the log, then those of its impressions by time",),
        )


def parts(path: Path) -> list[Path]:
    """PATH itself, or its folders that hold a part, training first."""
    candidates = [path, *sorted((f for f in path.iterdir() if f.is_dir()), key=lambda f: (part_rank(f), f))]
    found = [folder for folder in candidates if (folder / "behaviors.tsv").exists()]
    if not found:
        raise DataError(f"{path}: has no behaviors.tsv; give the unpacked folder of MIND")
    for folder in found:
        if not (folder / "news.tsv").exists():
            raise DataError(f"{folder}: has no news.tsv beside its behaviors.tsv; fetch it again")
    return found[:1] if found[0] == path else found


def part_rank(folder: Path) -> int:
    order = ("train", "dev", "test")
    return next((rank for rank, name in enumerate(order) if name in folder.name.lower()), len(order))


def read_behaviours(path: Path, bad: BadRows) -> pl.DataFrame:
    rows = read_fields(path, bad, BEHAVIOURS, "\t")
    return stated_time(rows, TIMES, bad).frame


def clicks(log: pl.DataFrame) -> pl.DataFrame:
    """`user_id`, `item_id`: each user's longest history, then the clicked ones of the impressions."""
    longest = (
        log.filter(pl.col("history").is_not_null())
        .sort(pl.col("history").str.len_bytes(), descending=True, maintain_order=True)
        .unique("user_id", keep="first", maintain_order=True)
        .sort(ROW)
    )
    before = longest.select(ROW, "user_id", pl.col("history").str.split(" ").alias("item_id")).explode(
        "item_id"
    )
    clicked = (
        log.sort("timestamp", maintain_order=True)
        .select(ROW, "user_id", pl.col("impressions").str.split(" ").alias("item_id"))
        .explode("item_id")
        .filter(pl.col("item_id").str.ends_with("-1"))
        .with_columns(pl.col("item_id").str.strip_suffix("-1"))
    )
    return pl.concat([before, clicked]).filter(pl.col("item_id") != "")
