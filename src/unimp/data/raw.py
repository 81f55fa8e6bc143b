"""`RawTables`: what a source hands to the importer, before anything is filtered; and the import's options."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import polars as pl
from pydantic import Field

from unimp.core.config import Config
from unimp.core.errors import DataError
from unimp.data.catalog import Attribute
from unimp.data.interactions import RatingScale
from unimp.data.pictures import PictureSource

ROW = "_row"
"""Column of `Rows.frame`: the row's number in its file, the header being row 1."""

PictureCheck = Literal["all", "sample", "none"]
Deduplication = Literal["none", "first", "last"]


class ImportOptions(Config):
    """Everything `unimp data import` can be told."""

    k_core: int = Field(default=0, ge=0)
    """Keep users and items with at least so many events, again and again until it holds; 0 keeps all."""
    deduplicate: Deduplication = "none"
    """Which of a user's events with the same item stays."""
    max_bad_rows: int = Field(default=0, ge=0)
    """So many unusable rows are dropped and counted; the next one is an error."""
    keep_unseen_items: bool = False
    """Keep items that no event names."""
    check_pictures: PictureCheck = "sample"
    """Which pictures of the kept items are decoded before they are accepted."""
    pictures: Path | None = None
    """Folder or zip of pictures, instead of the layout's own."""
    transactions: str | None = None
    """hm: which transaction file."""
    items: str | None = None
    """amazon, csv, sequences: the file of items."""
    events: str | None = None
    """amazon, csv, sequences: the file of events."""
    map: tuple[str, ...] = ()
    """csv: `column=role` each."""
    mapping: Path | None = None
    """csv: a TOML file that says the same as the other csv options."""
    rating_scale: str | None = None
    """csv: `LOW:HIGH:STEP`."""


@dataclass(frozen=True)
class Rows:
    """A table as it was read from one file: the frame has ROW, and `file` names it in messages."""

    file: str
    frame: pl.DataFrame

    def place(self, row: int) -> str:
        return f"{self.file}:{row}"


@dataclass(frozen=True)
class RawTables:
    """A source's tables in common column names, every value already of its type."""

    items: Rows
    """`item_id`, `picture` if the table names pictures, and one column per attribute."""
    attributes: tuple[Attribute, ...]
    events: tuple[Rows, ...]
    """`user_id`, `item_id`; `timestamp`, `rating`, `summary`, `review` where the source has them."""
    title: str | None = None
    rating_scale: RatingScale | None = None
    pictures: PictureSource | None = None
    queries: Rows | None = None
    """`user_id`, `item_id`, `timestamp`, `text`."""
    counts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class BadRows:
    """Counts the rows that cannot be used; the first one past the allowance is the error."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self.count = 0
        self.first: str | None = None

    def add(self, problem: str) -> None:
        """One more bad row, `problem` being place, problem, value and remedy."""
        self.count += 1
        self.first = self.first or problem
        if self.count > self.allowed:
            more = f" ({self.count} bad rows, {self.allowed} allowed)" if self.allowed else ""
            raise DataError(problem + more)

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"{self.count} bad row(s) dropped, the first: {self.first}",) if self.count else ()


class Source(Protocol):
    """One dataset layout."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        """Every usable row of the dataset at `path`; raises DataError past the allowance of bad rows."""
        ...
