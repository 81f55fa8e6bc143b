"""The events of one's own tables: which rows count, when they were, and how they were rated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from unimp.core.errors import ConfigError, DataError, did_you_mean
from unimp.data.interactions import RatingScale
from unimp.data.own_items import as_id, as_text
from unimp.data.raw import ROW, BadRows, Rows
from unimp.data.roles import MappingFile, Roles
from unimp.data.times import TimeReader
from unimp.data.values import numbers, ratings

NAMES = {"user": "user_id", "item": "item_id", "time": "timestamp", "time_ms": "timestamp"}
"""Role -> the column it becomes, where that is not the role itself."""
NUMBER_TEXT = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$"


@dataclass
class EventReader:
    """Reads the tables of events, one after another, chunk by chunk."""

    settings: MappingFile
    scale: RatingScale | None
    bad: BadRows
    kinds: Counter[str] = field(default_factory=Counter)
    filtered: int = 0
    accepted: int = 0
    weightless: int = 0

    def __post_init__(self) -> None:
        self.times = TimeReader(self.bad, self.settings.time_format)
        self.milliseconds = TimeReader(self.bad, self.settings.time_format, number_form="ms", given=True)
        self.wanted_kinds = [kind.strip() for kind in (self.settings.kinds or "").split(",") if kind.strip()]
        self.condition = Condition(self.settings.where) if self.settings.where is not None else None

    def read(self, all_roles: list[Roles], *, show_progress: bool = False) -> Iterator[Rows]:
        """The events in the columns that the importer knows."""
        for roles in all_roles:
            used = {
                column: role for column, role in roles.of_column.items() if role in NAMES or role in OTHERS
            }
            if self.wanted_kinds and "kind" not in used.values():
                raise ConfigError(f"{roles.table.name}: no column is the kind; add --map COLUMN=kind")
            wanted = list(dict.fromkeys([*used, *(self.condition.columns(roles) if self.condition else ())]))
            for rows in roles.table.chunks(wanted, self.bad, show_progress=show_progress):
                yield self.chunk(rows, used)
        self.note()

    def chunk(self, rows: Rows, used: dict[str, str]) -> Rows:
        if self.condition is not None:
            kept = self.condition.keep(rows)
            self.filtered += rows.frame.height - kept.frame.height
            self.accepted += kept.frame.height
            rows = kept
        named = {column: NAMES.get(role, role) for column, role in used.items()}
        rows = Rows(rows.file, rows.frame.select(*used, ROW).rename(named))
        frame = rows.frame.with_columns(
            as_id(rows.frame[name]).alias(name) for name in ("user_id", "item_id")
        )
        rows = self.of_kinds(Rows(rows.file, frame))
        for name in ("weight", "quantity"):
            if name in rows.frame.columns:
                rows = numbers(rows, name, self.bad, decimal=self.settings.decimal)
        if "weight" in rows.frame.columns:
            kept_frame = rows.frame.filter(pl.col("weight").fill_null(1) > 0)
            self.weightless += rows.frame.height - kept_frame.height
            rows = Rows(rows.file, kept_frame.drop("weight"))
        if "timestamp" in rows.frame.columns:
            reader = self.milliseconds if "time_ms" in used.values() else self.times
            rows = reader.read(rows, "timestamp")
        if self.scale is not None and "rating" in rows.frame.columns:
            rows = ratings(
                rows, "rating", self.scale, self.bad,
                required=False, decimal=self.settings.decimal, remedy=", or say --rating-scale LOW:HIGH:STEP",
            )  # fmt: skip
        words = [
            as_text(rows.frame[name], self.bad)
            for name in ("summary", "review")
            if name in rows.frame.columns
        ]
        return Rows(rows.file, rows.frame.with_columns(words))

    def of_kinds(self, rows: Rows) -> Rows:
        """Events of the wanted kinds; all kinds are counted."""
        if "kind" not in rows.frame.columns:
            return rows
        frame = rows.frame.with_columns(
            as_text(rows.frame["kind"], self.bad, html=False).str.strip_chars().alias("kind")
        )
        for kind, count in frame.group_by("kind").len().iter_rows():
            self.kinds["nothing" if kind is None else kind] += count
        if self.wanted_kinds:
            frame = frame.filter(pl.col("kind").is_in(self.wanted_kinds))
        return Rows(rows.file, frame.drop("kind"))

    def note(self) -> None:
        """What was left out, once all has been read."""
        if self.filtered and not self.accepted and self.condition is not None:
            raise DataError(
                f"--where {self.condition.text}: no event fits, of {self.filtered:,}; check its values"
            )
        if self.filtered:
            self.bad.note(f"{self.filtered} event(s) left out by --where")
        if self.weightless:
            self.bad.note(f"{self.weightless} event(s) of no weight left out; all others count alike")
        for kind in self.wanted_kinds:
            if kind not in self.kinds:
                raise DataError(f"--kinds: no event is a {kind!r}{did_you_mean(kind, self.kinds)}")
        if self.kinds:
            counted = ", ".join(f"{kind} {count:,}" for kind, count in self.kinds.most_common(8))
            advice = "" if self.wanted_kinds else "; all count alike, --kinds keeps some only"
            self.bad.note(f"kinds of events: {counted}{advice}")


OTHERS = {"rating", "summary", "review", "kind", "weight", "quantity"}


class Condition:
    """`--where`: an SQL condition on the columns as the table calls them.

    CSV has only text: a column whose values are all numbers is one, wherever text does not fit the condition.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self.expression = pl.sql_expr(text)
            self.names = list(dict.fromkeys(self.expression.meta.root_names()))
        except (pl.exceptions.PolarsError, TypeError) as error:
            raise self.wrong(error) from None
        self.as_numbers: bool | None = None

    def wrong(self, error: Exception) -> ConfigError:
        reason = str(error).splitlines()[0]
        return ConfigError(f"--where {self.text}: not a condition ({reason}); such as \"event = 'purchase'\"")

    def columns(self, roles: Roles) -> list[str]:
        for name in self.names:
            if name not in roles.table.columns:
                hint = did_you_mean(name, roles.table.columns)
                if f'"{name}"' in self.text:
                    hint = f"; a text stands in single quotes: '{name}'"
                raise ConfigError(f'--where: {roles.table.name} has no column "{name}"{hint}')
        return self.names

    def keep(self, rows: Rows) -> Rows:
        frame = rows.frame
        if self.as_numbers is not True:
            try:
                return Rows(rows.file, frame.filter(self.mask(frame)))
            except pl.exceptions.PolarsError:
                self.as_numbers = True
        texts = [name for name in self.names if frame.schema[name] == pl.String]
        numeric = [n for n in texts if frame[n].str.contains(NUMBER_TEXT).all()]
        try:
            return Rows(
                rows.file, frame.filter(self.mask(frame.with_columns(pl.col(numeric).cast(pl.Float64))))
            )
        except pl.exceptions.PolarsError as error:
            raise self.wrong(error) from None

    def mask(self, frame: pl.DataFrame) -> pl.Series:
        mask = frame.select(self.expression.alias("kept")).to_series()
        if mask.dtype != pl.Boolean:
            raise pl.exceptions.ComputeError("it is neither true nor false")
        return mask if len(mask) == frame.height else mask.new_from_index(0, frame.height)
