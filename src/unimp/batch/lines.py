"""The lines of a batch: read from a text file, CSV or Parquet, each checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from unimp.core.errors import ConfigError, DataError, did_you_mean
from unimp.personalizer import MOST_CANDIDATES, QUERY_LETTERS, Personalizer

NEEDED = {
    "recommendation": ("user_id",),
    "search": ("user_id", "text"),
    "rating": ("user_id", "item_id"),
    "explanation": ("user_id", "item_id"),
    "selection": ("user_id", "candidates"),
    "imagination": ("user_id", "text"),
}
"""Task -> columns that the file must have. `candidates` are item ids, a list or separated by commas."""
COUNT = "count"
"""Column that selection may have: how many to choose; 1 where it is empty."""
LINE = "line"
"""Where a row stands: the line of a text file or CSV, the row of a Parquet file counted from 1."""


@dataclass(frozen=True)
class Wrong:
    """A line that cannot be answered."""

    line: int
    reason: str


def read_lines(path: Path, task: str) -> pl.DataFrame:
    """`line` and the task's columns as text; DataError when the file or a column is missing."""
    if task not in NEEDED:
        raise ConfigError(f"--task: unknown task {task!r}{did_you_mean(task, NEEDED)}")
    try:
        table = read_table(path)
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    missing = [name for name in NEEDED[task] if name not in table.columns]
    if missing:
        raise DataError(f"{path}: column(s) missing for {task}: {', '.join(missing)}")
    if table.is_empty():
        raise DataError(f"{path}: no users; name one a line")
    optional = [COUNT] if task == "selection" and COUNT in table.columns else []
    return table.select(LINE, *(as_text(table, name) for name in [*NEEDED[task], *optional]))


def read_table(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path).with_row_index(LINE, 1)
    if path.suffix == ".csv":
        return pl.read_csv(path, infer_schema=False).with_row_index(LINE, 2)  # the header is line 1
    lines = enumerate(path.read_text().splitlines(), start=1)
    named = [(place, line.strip()) for place, line in lines if line.strip()]
    return pl.DataFrame(named, schema={LINE: pl.UInt32, "user_id": pl.String}, orient="row")


def as_text(table: pl.DataFrame, name: str) -> pl.Expr:
    column = pl.col(name)
    if isinstance(table.schema[name], pl.List):
        return column.cast(pl.List(pl.String)).list.join(",")
    return column.cast(pl.String)


def wrong_lines(personalizer: Personalizer, asked: pl.DataFrame) -> list[Wrong]:
    """Every line that cannot be answered, with the first reason why."""
    dataset = personalizer.run.dataset
    checks = Checks(dataset.interactions.user_position, dataset.catalog.row_of)
    reasons = ((row[LINE], checks.reason(row)) for row in asked.iter_rows(named=True))
    return [Wrong(line, reason) for line, reason in reasons if reason is not None]


@dataclass(frozen=True)
class Checks:
    """What a line is held against."""

    users: Mapping[str, int]
    items: Mapping[str, int]

    def reason(self, row: dict[str, Any]) -> str | None:
        """Why a line cannot be answered; None when it can."""
        for name, value in row.items():
            if value is None and name != COUNT:
                return f"{name} is missing"
        if row["user_id"] not in self.users:
            return f'unknown user "{row["user_id"]}"'
        if "item_id" in row and row["item_id"] not in self.items:
            return f'unknown item "{row["item_id"]}"'
        if "text" in row:
            return query_reason(row["text"])
        return self.candidates_reason(row) if "candidates" in row else None

    def candidates_reason(self, row: dict[str, Any]) -> str | None:
        ids = candidate_ids(row["candidates"])
        for item_id in ids:
            if item_id not in self.items:
                return f'unknown item "{item_id}" among the candidates'
        if not 2 <= len(ids) <= MOST_CANDIDATES:
            return f"give 2 to {MOST_CANDIDATES:,} different candidates (got {len(ids)})"
        count = row.get(COUNT)
        if count is not None and not (count.isdecimal() and 1 <= int(count) <= len(ids)):
            return f"count must be 1 to {len(ids)}, the number of candidates (got {count!r})"
        return None


def query_reason(text: str) -> str | None:
    if not text.strip():
        return "text is empty"
    if len(text) > QUERY_LETTERS:
        return f"text has {len(text):,} letters, at most {QUERY_LETTERS:,}"
    return None


def candidate_ids(text: str) -> list[str]:
    """Different ids in the order given."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def refuse(path: Path, wrong: list[Wrong]) -> DataError:
    """The first wrong line, and how many there are."""
    others = f" ({len(wrong):,} wrong lines in all)" if len(wrong) > 1 else ""
    first = wrong[0]
    return DataError(f"{path}:{first.line}: {first.reason}{others}; mend it, or leave it out: --skip-wrong")
