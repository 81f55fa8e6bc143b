"""What order exports of shops share: which file is which, whose order it is, which product a line names."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from unimp.core.errors import ConfigError, DataError
from unimp.data.csv_reading import csv_layout
from unimp.data.raw import ROW, BadRows, Rows
from unimp.data.reading import stream_csv
from unimp.data.values import parse_numbers

BREAK = re.compile(r"<(?:br|/p|/div|/li|/h\d|/tr)\b[^>]*>", re.IGNORECASE)
HIDDEN = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
TAG = re.compile(r"<[^<>]*>")


def without_markup(text: str | None) -> str | None:
    """The words of a description; None when there are none."""
    if text is None:
        return None
    plain = TAG.sub("", BREAK.sub(" ", HIDDEN.sub(" ", text)))
    return " ".join(html.unescape(plain).split()) or None


def tables_with(
    path: Path, columns: Sequence[str], wanted: str | None, what: str, *, or_else: Sequence[str] = ()
) -> list[Path]:
    """The CSV files of PATH whose header has all of `columns`, or of `or_else`; or the one asked for."""
    folder = path if path.is_dir() else path.parent
    if wanted is not None:
        given = folder / wanted if (folder / wanted).is_file() else Path(wanted)
        if not given.is_file():
            raise DataError(f"{folder / wanted}: no such file; correct the option")
        return [given]
    sets = [set(names) for names in (columns, or_else) if names]
    headers = {file: set(header_of(file)) for file in sorted(folder.glob("*.csv*"))}
    found = [file for file, header in headers.items() if any(names <= header for names in sets)]
    if not found:
        listed = ", ".join(columns)
        raise DataError(f"{folder}: has no export of {what} (a CSV with the columns {listed}); put it there")
    return found


def header_of(path: Path) -> list[str]:
    """The names of the columns; nothing when they cannot be read."""
    try:
        return csv_layout(path, options=False).columns
    except (DataError, ConfigError):
        return []


def order_rows(paths: Iterable[Path], bad: BadRows, columns: Sequence[str]) -> Iterator[Rows]:
    """ROW and `columns` of all files part by part; a column that a file lacks is null."""
    for path in paths:
        for rows in stream_csv(path, bad, optional=columns, separator=None):
            yield Rows(rows.file, with_all(rows.frame, columns).select(ROW, *columns))


def with_all(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """`frame` with those of `columns` that it lacks, null."""
    absent = [name for name in columns if name not in frame.columns]
    return frame.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in absent)


def price_of(column: pl.Series) -> pl.Series:
    """[N] prices as shops write them; null where there is none."""
    return parse_numbers(column, "auto")[0].alias(column.name)


WORDS = {
    "lines_cancelled": "of cancelled or refunded orders",
    "lines_without_customer": "without a customer",
    "lines_of_unknown_products": "of products that the export of products does not have",
}
"""What is left out and counted -> in words."""


@dataclass
class OrderLines:
    """Keeps the order lines of known customers and products, and counts the others.

    `users` are columns, the first that has a value names the customer. `products` pairs a column with what
    its values (in small letters) stand for, tried in that order.
    """

    users: Sequence[str]
    products: Sequence[tuple[str, Mapping[str, str]]]
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WORDS, 0))
    kept: int = 0

    def known(self, lines: Rows, undone: pl.Expr) -> Rows:
        """The lines that count, `user_id` and `item_id` beside their columns."""
        frame = lines.frame
        valid = frame.filter(~undone.fill_null(False))
        blank_to_null = [
            pl.when(pl.col(name).str.strip_chars() != "").then(
                pl.col(name).str.strip_chars().str.to_lowercase()
            )
            for name in self.users
        ]
        owned = valid.with_columns(pl.coalesce(blank_to_null).alias("user_id"))
        owned = owned.filter(pl.col("user_id").is_not_null())
        named = [
            pl.col(column)
            .str.strip_chars()
            .str.to_lowercase()
            .replace_strict(list(meaning), list(meaning.values()), default=None, return_dtype=pl.String)
            for column, meaning in self.products
            if meaning
        ]
        item = pl.coalesce(named) if named else pl.lit(None, dtype=pl.String)
        found = owned.with_columns(item.alias("item_id"))
        kept = found.filter(pl.col("item_id").is_not_null())
        self.counts["lines_cancelled"] += frame.height - valid.height
        self.counts["lines_without_customer"] += valid.height - owned.height
        self.counts["lines_of_unknown_products"] += found.height - kept.height
        self.kept += kept.height
        return Rows(lines.file, kept)

    def finish(self, file: str, bad: BadRows) -> None:
        """Say what was left out; DataError when nothing was kept."""
        if not self.kept:
            columns = " or ".join(column for column, _ in self.products)
            left = {words: self.counts[name] for name, words in WORDS.items()}
            cause = max(left, key=lambda words: left[words])
            if not self.counts["lines_of_unknown_products"] and left[cause]:
                raise DataError(
                    f"{file}: all {sum(left.values()):,} order lines are {cause} (customers go by "
                    f"{' or '.join(self.users)}); export orders that count"
                )
            raise DataError(
                f"{file}: no order line names a product of the export by its {columns}; "
                "export products and orders of the same shop"
            )
        for name, words in WORDS.items():
            if self.counts[name]:
                bad.note(f"{self.counts[name]:,} order line(s) {words} left out")
