"""The lines of a batch: read from a text file, CSV or Parquet, each checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from unimp.core.errors import DataError, UnimpError
from unimp.data.nearest import NearestId
from unimp.personalizer import Personalizer
from unimp.tasks.forms import SEPARATOR, RequestField, batch_fields, listed_ids
from unimp.tasks.requests import TaskRequest
from unimp.tasks.task import AnyTask

USER = "user_id"
HISTORY = "history"
"""Column that any file may have: item ids, oldest first. A row with one is answered by that history, whether
or not the data know its user; an empty list is a cold start."""
LINE = "line"
"""Where a row stands: the line of a text file or CSV, the row of a Parquet file counted from 1."""
PLACE = "place"
"""Place of a line among those that are answered, counted from 0: it decides the line's seed."""


@dataclass(frozen=True)
class Wrong:
    """A line that cannot be answered."""

    line: int
    reason: str


def read_lines(path: Path, task: type[AnyTask]) -> pl.DataFrame:
    """`line` and the task's columns as text; DataError when the file or a column is missing."""
    try:
        table = read_table(path)
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    fields = batch_fields(task.Request)
    needed = [USER, *(field.form.column for field in fields if not field.form.optional)]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise DataError(f"{path}: column(s) missing for {task.name}: {', '.join(missing)}")
    if table.is_empty():
        raise DataError(f"{path}: no users; name one a line")
    columns = [USER, *(field.form.column for field in fields if field.form.column in table.columns)]
    if HISTORY in table.columns:
        columns.append(HISTORY)
    return table.select(LINE, *(as_text(table, name) for name in columns))


def read_table(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path).with_row_index(LINE, 1)
    if path.suffix == ".csv":
        return pl.read_csv(path, infer_schema=False).with_row_index(LINE, 2)  # the header is line 1
    lines = enumerate(path.read_text().splitlines(), start=1)
    named = [(place, line.strip()) for place, line in lines if line.strip()]
    return pl.DataFrame(named, schema={LINE: pl.UInt32, USER: pl.String}, orient="row")


def as_text(table: pl.DataFrame, name: str) -> pl.Expr:
    """The column as text; a list's values each end with SEPARATOR, so that one id with a comma stays one."""
    column = pl.col(name)
    if isinstance(table.schema[name], pl.List):
        parts = column.cast(pl.List(pl.String)).list.eval(pl.element() + SEPARATOR)
        return parts.list.join("").alias(name)
    return column.cast(pl.String)


def request_of(row: Mapping[str, Any], request: type[TaskRequest], options: Mapping[str, Any]) -> TaskRequest:
    """The request of a line; DataError or ConfigError when it is none. `options`: fields of all requests."""
    given = row.get(HISTORY)
    who = {"user": filled(row, USER)} if given is None else {"history": listed_ids(given)}
    values: dict[str, Any] = {**who, **options}
    for field in batch_fields(request):
        if field.form.optional and not row.get(field.form.column):
            continue
        text = filled(row, field.form.column)
        values[field.name] = number_of(field, text) if field.is_number else field.read(text)
    return request.parse(values)


def filled(row: Mapping[str, Any], column: str) -> str:
    """The text of a cell; DataError when there is none."""
    value = row.get(column)
    if value is None:
        raise DataError(f"{column} is missing")
    if not str(value).strip():
        raise DataError(f"{column} is empty")
    return str(value)


def number_of(field: RequestField, text: str) -> Any:
    """A whole number as it is written; DataError for anything else."""
    if not text.isdecimal():
        raise DataError(f"{field.form.column}: must be a whole number (got {text!r})")
    return int(text)


def wrong_lines(
    personalizer: Personalizer, task: AnyTask, table: pl.DataFrame, options: Mapping[str, Any]
) -> list[Wrong]:
    """Every line that cannot be answered, with the first reason why."""
    users = personalizer.run.dataset.interactions.user_position
    items = personalizer.run.dataset.catalog.row_of
    nearest = NearestId(items)
    found: list[Wrong] = []
    for row in table.iter_rows(named=True):
        try:
            if row.get(HISTORY) is None and (user := filled(row, USER)) not in users:
                raise DataError(f'unknown user "{user}": give their history in a column "{HISTORY}"')
            for item_id in listed_ids(row.get(HISTORY) or ""):
                if item_id not in items:
                    near = nearest.find(item_id)
                    hint = "" if near is None else f'; the catalogue has "{near}"'
                    raise DataError(f'unknown item "{item_id}" in the history{hint}')
            request = request_of(row, task.Request, options)
            for item_id in request.item_ids:
                if item_id not in items:
                    raise DataError(f'unknown item "{item_id}"')
            task.check(request)
        except UnimpError as error:
            found.append(Wrong(row[LINE], str(error)))
    return found


def refuse(path: Path, wrong: list[Wrong]) -> DataError:
    """The first wrong line, and how many there are."""
    others = f" ({len(wrong):,} wrong lines in all)" if len(wrong) > 1 else ""
    first = wrong[0]
    return DataError(f"{path}:{first.line}: {first.reason}{others}; mend it, or leave it out: --skip-wrong")
