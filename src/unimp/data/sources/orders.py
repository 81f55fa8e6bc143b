"""What order exports of shops share: which file is which, whose order it is, which product a line names."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from unimp.core.errors import DataError
from unimp.data.raw import ROW, BadRows, Rows
from unimp.data.reading import open_text, read_csv

BREAK = re.compile(r"<(?:br|/p|/div|/li|/h\d|/tr)\b[^>]*>", re.IGNORECASE)
HIDDEN = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
TAG = re.compile(r"<[^<>]*>")


def without_markup(text: str | None) -> str | None:
    """The words of a description; None when there are none."""
    if text is None:
        return None
    plain = TAG.sub("", BREAK.sub(" ", HIDDEN.sub(" ", text)))
    return " ".join(html.unescape(plain).split()) or None


def tables_with(path: Path, columns: Sequence[str], wanted: str | None, what: str) -> list[Path]:
    """The CSV files of PATH whose header has all of `columns`, or the one that was asked for."""
    folder = path if path.is_dir() else path.parent
    if wanted is not None:
        given = folder / wanted if (folder / wanted).is_file() else Path(wanted)
        if not given.is_file():
            raise DataError(f"{folder / wanted}: no such file; correct the option")
        return [given]
    found = [file for file in sorted(folder.glob("*.csv")) if set(columns) <= set(header_of(file))]
    if not found:
        listed = ", ".join(columns)
        raise DataError(f"{folder}: has no export of {what} (a CSV with the columns {listed}); put it there")
    return found


def header_of(path: Path) -> list[str]:
    """The names in the first row; nothing when that cannot be read."""
    try:
        with open_text(path, "utf-8") as text:
            line = text.readline()
    except DataError:
        return []
    return [name.strip().strip('"') for name in line.rstrip("\r\n").split(",")]


def read_several(paths: Iterable[Path], bad: BadRows, optional: Sequence[str]) -> Rows:
    """The rows of all files, those of `optional` that exist as columns, the others null."""
    tables = [read_csv(path, bad, optional=optional) for path in paths]
    frames = [
        table.frame.with_columns(
            pl.lit(None, dtype=pl.String).alias(name) for name in optional if name not in table.frame.columns
        ).select(ROW, *optional)
        for table in tables
    ]
    return Rows(tables[0].file if len(tables) == 1 else "orders", pl.concat(frames))


@dataclass(frozen=True)
class Lines:
    """Order lines of known customers and products, and what was left out."""

    rows: Rows
    """`user_id`, `item_id`, and the columns that came with them."""
    counts: dict[str, int]

    @property
    def notes(self) -> tuple[str, ...]:
        words = {
            "lines_cancelled": "of cancelled or refunded orders",
            "lines_without_customer": "without a customer",
            "lines_of_unknown_products": "of products that the export of products does not have",
        }
        return tuple(
            f"{self.counts[name]:,} order line(s) {said} left out"
            for name, said in words.items()
            if self.counts.get(name)
        )


def resolve(
    lines: Rows, users: Sequence[str], products: Sequence[tuple[str, Mapping[str, str]]], cancelled: pl.Expr
) -> Lines:
    """The lines that count: whose customer is in one of the columns `users`, whose product is known.

    `products` pairs a column with what its values (in small letters) stand for, tried in that order.
    """
    frame = lines.frame
    valid = frame.filter(~cancelled.fill_null(False))
    blank_to_null = [
        pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name).str.strip_chars().str.to_lowercase())
        for name in users
    ]
    owned = valid.with_columns(pl.coalesce(blank_to_null).alias("user_id"))
    known = owned.filter(pl.col("user_id").is_not_null())
    named = [
        pl.col(column)
        .str.strip_chars()
        .str.to_lowercase()
        .replace_strict(list(meaning), list(meaning.values()), default=None, return_dtype=pl.String)
        for column, meaning in products
        if meaning
    ]
    item = pl.coalesce(named) if named else pl.lit(None, dtype=pl.String)
    found = known.with_columns(item.alias("item_id"))
    kept = found.filter(pl.col("item_id").is_not_null())
    if kept.is_empty():
        columns = " or ".join(column for column, _ in products)
        raise DataError(
            f"{lines.file}: no order line names a product of the export by its {columns}; "
            "export products and orders of the same shop"
        )
    counts = {
        "lines_cancelled": frame.height - valid.height,
        "lines_without_customer": valid.height - known.height,
        "lines_of_unknown_products": found.height - kept.height,
    }
    return Lines(Rows(lines.file, kept), counts)
