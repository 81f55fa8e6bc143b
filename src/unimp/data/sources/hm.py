"""H&M Personalized Fashion Recommendations, in Kaggle's layout.

A folder with `articles.csv`, one or more transaction files, and `images/` or `images.zip` whose members are
named `0NN/0NNNNNNNNN.jpg`; CSV files may be gzipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from unimp.core.errors import ConfigError, DataError, did_you_mean
from unimp.data.catalog import Attribute
from unimp.data.picture_check import find_pictures
from unimp.data.raw import UNLIMITED, BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import read_csv, stream_csv
from unimp.data.values import numbers, reject, seconds

CATEGORIES = (
    "product_type_name",
    "product_group_name",
    "graphical_appearance_name",
    "colour_group_name",
    "perceived_colour_value_name",
    "perceived_colour_master_name",
    "department_name",
    "index_name",
    "section_name",
    "garment_group_name",
)
ATTRIBUTES = (
    Attribute("prod_name", "text"),
    *(Attribute(name, "category") for name in CATEGORIES),
    Attribute("price", "number"),
    Attribute("detail_desc", "text"),
)
FULL_LOG = "transactions_train"
"""Kaggle's own transaction file; the choice where it is present."""


class HM:
    """Purchases, no ratings; a day is the finest time, so one day's purchases keep the order of the file."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        if not path.is_dir():
            raise DataError(f"{path}: not a folder; hm needs the folder that holds articles.csv")
        articles = read_articles(either(path, "articles.csv"), bad)
        log = transactions_file(path, options.transactions)
        return RawTables(
            with_median_price(articles, log, bad),
            ATTRIBUTES,
            read_log(log, bad, show_progress),
            title="prod_name",
            pictures=find_pictures(options.pictures, path, ("images", "images.zip")),
            notes=(f"transactions of {log.name}; times are days, ties keep the order of the file",),
        )


def either(folder: Path, name: str) -> Path:
    """`name` or `name.gz` in `folder`."""
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.exists():
            return candidate
    raise DataError(f"{folder}: has no {name} or {name}.gz; check the path")


def transactions_file(folder: Path, wanted: str | None) -> Path:
    """The transaction file that was asked for, Kaggle's own, or the only one."""
    choices = {file.name: file for file in sorted(folder.glob("transactions*.csv*"))}
    if wanted is not None:
        names = [wanted, f"{wanted}.csv", f"{wanted}.csv.gz"]
        for candidate in (Path(wanted), *(folder / name for name in names)):
            if candidate.is_file():
                return candidate
        raise ConfigError(f"--transactions {wanted}: no such file{did_you_mean(wanted, choices)}")
    if not choices:
        raise DataError(f"{folder}: has no transactions*.csv or transactions*.csv.gz; check the path")
    full = [name for name in choices if name.startswith(FULL_LOG)]
    if len(full) != 1 and len(choices) > 1:
        raise ConfigError(f"{folder}: several transaction files; add --transactions {' | '.join(choices)}")
    return choices[full[0]] if full else next(iter(choices.values()))


def read_articles(path: Path, bad: BadRows) -> Rows:
    articles = read_csv(
        path, bad, required=("article_id", "prod_name"), optional=(*CATEGORIES, "detail_desc")
    )
    frame = articles.frame.rename({"article_id": "item_id"})
    absent = [name for name in (*CATEGORIES, "detail_desc") if name not in frame.columns]
    frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in absent)
    return reject(
        Rows(articles.file, frame),
        pl.col("item_id").str.contains(r"^[1-9]\d{8}$"),
        "item_id",
        "article_id lost its leading zero:",
        "read ids as text, not as numbers, or fetch the file again",
        bad,
    )


def read_log(path: Path, bad: BadRows, show_progress: bool) -> Iterator[Rows]:
    renamed = {"t_dat": "timestamp", "customer_id": "user_id", "article_id": "item_id"}
    for rows in stream_csv(path, bad, required=tuple(renamed), optional=(), show_progress=show_progress):
        yield seconds(Rows(rows.file, rows.frame.rename(renamed)), "timestamp", bad)


def with_median_price(articles: Rows, log: Path, bad: BadRows) -> Rows:
    """An item's price is the median of what was paid for it, in Kaggle's own unit; null when never sold.

    Memory: the distinct prices of each item, whatever the number of transactions.
    """
    scratch = BadRows(UNLIMITED)  # the rows are read once more, and counted then
    counted = pl.DataFrame(schema={"item_id": pl.String(), "price": pl.Float64(), "sold": pl.UInt32()})
    for rows in stream_csv(log, scratch, required=("article_id",), optional=("price",)):
        if "price" not in rows.frame.columns:
            break
        paid = numbers(Rows(rows.file, rows.frame.rename({"article_id": "item_id"})), "price", bad)
        fresh = paid.frame.drop_nulls(["item_id", "price"]).group_by("item_id", "price").agg(sold=pl.len())
        counted = pl.concat([counted, fresh]).group_by("item_id", "price").agg(pl.col("sold").sum())
    sold = pl.col("sold")
    # the price of the middle purchase, or the mean of the two middle ones
    low, high = (sold.sum() - 1) // 2, sold.sum() // 2
    up_to = sold.cum_sum()
    prices = (
        counted.sort("item_id", "price")
        .group_by("item_id")
        .agg((pl.col("price").filter(up_to > low).first() + pl.col("price").filter(up_to > high).first()) / 2)
    )
    return Rows(articles.file, articles.frame.join(prices, on="item_id", how="left", maintain_order="left"))
