"""`RawTables`: what a source hands to the importer, before anything is filtered; and the import's options."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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

ROW = "\0row"
"""Column of `Rows.frame`: the row's number in its file, the header being row 1.

The name holds a character that no header of a table may hold, so that no user's column collides with it.
"""

UNLIMITED = 1 << 62
"""An allowance of bad rows for a first pass, whose rows are read again and counted then."""

PictureCheck = Literal["all", "sample", "none"]
Deduplication = Literal["none", "exact", "first", "last"]
Decimal = Literal["auto", ".", ","]
Undated = Literal["random", "file"]


class ImportOptions(Config):
    """Everything `unimp data import` can be told."""

    k_core: int = Field(default=0, ge=0)
    """Keep users and items with at least so many events, again and again until it holds; 0 keeps all."""
    deduplicate: Deduplication = "none"
    """Which of a user's events with the same item stays; `exact` drops only rows that are wholly the same."""
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
    """amazon, csv, sequences: the file of events; csv: a glob or a folder of such files, too."""
    further_events: tuple[str, ...] = ()
    """csv: more files of events."""
    map: tuple[str, ...] = ()
    """csv: `column=role` each."""
    mapping: Path | None = None
    """csv: a TOML file that says the same as the other csv options."""
    rating_scale: str | None = None
    """csv: `LOW:HIGH:STEP`."""
    separator: str | None = Field(default=None, min_length=1)
    """csv: what parts the values of a `categories` column; | unless said."""
    delimiter: str | None = None
    """csv: what parts the fields; found in the header unless said."""
    encoding: str | None = None
    """csv: the text's encoding; UTF-8 or UTF-16 unless said."""
    decimal: Decimal = "auto"
    """csv: the decimal sign of numbers; found in the values unless said."""
    time_format: str | None = None
    """csv: seconds, ms, us, ns, excel, or a strptime format; found in the values unless said."""
    where: str | None = None
    """csv: an SQL condition on the columns of the events."""
    kinds: str | None = None
    """csv: the kinds of events to keep, parted by commas."""
    undated: Undated = "random"
    """csv: the order of a user's events in a table without times."""


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
    events: Iterable[Rows]
    """`user_id`, `item_id`; `timestamp`, `rating`, `summary`, `review` where the source has them.

    `timestamp` is a Datetime (UTC) or whole UTC seconds. `quantity` may say how many were bought; a negative
    one returns what was bought before. Read once, table by table: a long log comes in many small ones.
    """
    title: str | None = None
    rating_scale: RatingScale | None = None
    pictures: PictureSource | None = None
    queries: Rows | None = None
    """`user_id`, `item_id`, `timestamp`, `text`."""
    aliases: pl.DataFrame | None = None
    """`alias`, `item_id`: further ids under which events name an item (variants of a product)."""
    events_add_items: bool = False
    """Whether an item that only events name belongs to the catalogue, with its id alone."""
    ordered: bool = True
    """Whether the order of events without a time means anything; if not, each user's events are shuffled."""
    counts: dict[str, int] = field(default_factory=dict)
    """Read after the events, whose reader may still enter something."""
    notes: tuple[str, ...] = ()


def no_items(file: str) -> Rows:
    """The items of a source that has no table of them: its events name them all."""
    return Rows(file, pl.DataFrame(schema={"item_id": pl.String(), ROW: pl.Int64()}))


class BadRows:
    """Counts the rows that cannot be used, keeps the first of them, and says so when there are too many.

    Reading goes on past the allowance, so that the error can say how many there are in all; GIVE_UP more end
    it at once. What a reader noticed and a user should know is collected here too.
    """

    SHOWN = 3
    GIVE_UP = 100_000

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self.count = 0
        self.problems: list[str] = []
        """The first SHOWN of them: place, problem, value and remedy."""
        self.causes: Counter[str] = Counter()
        self.lost_items: set[str] = set()
        """Ids of items whose row was bad: their events are no further mistakes."""
        self._notes: dict[str, str] = {}

    @property
    def first(self) -> str | None:
        return self.problems[0] if self.problems else None

    def add(self, problem: str, cause: str = "malformed row") -> None:
        """One more bad row, `problem` being place, problem, value and remedy."""
        self.add_many([problem], 1, cause)

    def add_many(self, problems: Sequence[str], count: int, cause: str) -> None:
        """`count` more bad rows of one cause; `problems` are the first of them."""
        self.count += count
        self.causes[cause] += count
        self.problems += problems[: self.SHOWN - len(self.problems)]
        if self.count > self.allowed + self.GIVE_UP:
            self.settle("at least ")

    def note(self, text: str) -> None:
        """Something that reading decided or left out, for the notes of the import; said once."""
        self._notes[text] = text

    def note_once(self, key: str, text: str) -> None:
        """The first note about `key`."""
        self._notes.setdefault(key, text)

    def settle(self, amount: str = "") -> None:
        """DataError when there are more bad rows than allowed."""
        if self.count <= self.allowed:
            return
        if self.count == 1:
            raise DataError(self.problems[0])
        raise DataError(f"{self.problems[0]} ({amount}{self.summary}{self._others})")

    def explain(self, problem: str) -> DataError:
        """The error `problem`, with the bad rows that may have led to it."""
        self.settle()
        if not self.count:
            return DataError(problem)
        return DataError(f"{problem} ({self.summary}; the first: {self.problems[0]}{self._others})")

    @property
    def summary(self) -> str:
        causes = ", ".join(f"{count:,} × {cause}" for cause, count in self.causes.most_common(5))
        return f"{self.count:,} bad rows, {self.allowed:,} allowed: {causes}"

    @property
    def _others(self) -> str:
        # the remedy of the first is enough
        others = [problem.rsplit("; ", 1)[0] for problem in self.problems[1:]]
        return "; then " + "; ".join(others) if others else ""

    @property
    def notes(self) -> tuple[str, ...]:
        notes = tuple(self._notes.values())
        if self.count:
            notes += (f"{self.count} bad row(s) dropped, the first: {self.first}{self._others}",)
        return notes


class Source(Protocol):
    """One dataset layout."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        """Every usable row of the dataset at `path`; the others are counted in `bad`."""
        ...
