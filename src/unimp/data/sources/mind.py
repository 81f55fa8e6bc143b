"""MIND, clicks on news (Wu et al., ACL 2020): `news.tsv` and `behaviors.tsv`, one part or several folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from unimp.core.errors import DataError
from unimp.data.catalog import Attribute
from unimp.data.picture_check import find_pictures
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import read_fields, stream_fields
from unimp.data.sources.stated_times import stated_time

NEWS = ("item_id", "category", "subcategory", "title", "abstract", "url", "entities", "abstract_entities")
BEHAVIOURS = ("impression", "user_id", "timestamp", "history", "impressions")
TIMES = ("%m/%d/%Y %I:%M:%S %p",)
HISTORIES = 1 << 14
"""Users whose histories become events at a time."""
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
        return RawTables(
            Rows("news.tsv", items.select(ROW, "item_id", *(a.name for a in ATTRIBUTES))),
            ATTRIBUTES,
            clicks([folder / "behaviors.tsv" for folder in folders], bad),
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


def clicks(logs: Sequence[Path], bad: BadRows) -> Iterator[Rows]:
    """`user_id`, `item_id`: each user's longest history, then the clicked ones of the impressions by time.

    Memory: the histories, and the clicks in about 70 bytes each; not the impressions without one.
    """
    longest = pl.DataFrame(schema={ROW: pl.Int64(), "user_id": pl.String(), "history": pl.String()})
    clicked: list[pl.DataFrame] = []
    for path in logs:
        for rows in stream_fields(path, bad, BEHAVIOURS, "\t"):
            log = stated_time(rows, TIMES, bad).frame
            histories = log.filter(pl.col("history").is_not_null()).select(longest.columns)
            longest = (
                pl.concat([longest, histories])
                .sort(pl.col("history").str.len_bytes(), descending=True, maintain_order=True)
                .unique("user_id", keep="first", maintain_order=True)
            )
            clicked.append(
                log.select(ROW, "user_id", "timestamp", pl.col("impressions").str.split(" ").alias("item_id"))
                .explode("item_id")
                .filter(pl.col("item_id").str.ends_with("-1"))
                .with_columns(pl.col("item_id").str.strip_suffix("-1"))
            )
    before = longest.sort(ROW).select(ROW, "user_id", pl.col("history").str.split(" ").alias("item_id"))
    for part in before.iter_slices(HISTORIES):
        yield Rows("behaviors.tsv", part.explode("item_id").filter(pl.col("item_id") != ""))
    by_time = pl.concat(clicked).sort("timestamp", maintain_order=True).drop("timestamp")
    yield Rows("behaviors.tsv", by_time.filter(pl.col("item_id") != ""))
