"""`import_tables`: a data folder from tables in memory: polars, pandas, Arrow or what else narwhals knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import narwhals as nw
import polars as pl
import pyarrow as pa

from unimp.core.errors import DataError
from unimp.data.dataset import Dataset
from unimp.data.importing import import_raw
from unimp.data.picture_check import find_pictures
from unimp.data.raw import BadRows, ImportOptions, RawTables
from unimp.data.roles import read_settings
from unimp.data.sources.csv_tables import read_tables
from unimp.data.tables import FrameTable

FILES = {"items", "events", "further_events", "mapping", "transactions", "delimiter", "encoding", "map"}
"""Options about files, which frames do not need."""


def import_tables(
    *,
    events: Any,
    out: Path | str,
    items: Any = None,
    item_columns: Mapping[str, str] | None = None,
    event_columns: Mapping[str, str] | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
    **options: Any,
) -> Dataset:
    """Validate tables and write them as the data folder `out`.

    `items` and `events` are polars, pandas, Arrow or other frames that narwhals reads. `item_columns` and
    `event_columns` say what columns are (column -> role, as with `--map`); columns with the usual names need
    none. `options` are those of `unimp data import csv`: `k_core`, `deduplicate`, `rating_scale`, `where`, …
    Raises DataError or ConfigError, and writes nothing, where the tables cannot be used.
    """
    place = "import_tables"
    chosen = ImportOptions.parse(
        {name: Path(value) if name == "pictures" else value for name, value in options.items()}, place
    )
    wrong = sorted(FILES & set(options))
    if wrong:
        raise DataError(f"{place}: {wrong[0]} is about files; leave it out")
    settings = read_settings(chosen).model_copy(
        update={"item_columns": dict(item_columns or {}), "event_columns": dict(event_columns or {})}
    )
    tables = [FrameTable("events", as_polars(events, "events"))]
    catalogue = None if items is None else FrameTable("items", as_polars(items, "items"))

    def read(bad: BadRows) -> RawTables:
        pictures = find_pictures(chosen.pictures, Path(), ())
        return read_tables(catalogue, tables, settings, (), bad, pictures=pictures)

    import_raw(
        read, "csv", {"path": "tables in memory"}, Path(out), chosen,
        overwrite=overwrite, show_progress=show_progress,
    )  # fmt: skip
    return Dataset.load(Path(out))


def as_polars(table: Any, name: str) -> pl.DataFrame:
    """Any frame as a polars one; DataError when it is none."""
    try:
        frame = nw.from_native(table)
    except TypeError:
        kind = type(table).__name__
        raise DataError(
            f"{name}: a {kind} is no table; give a polars, pandas or Arrow one, or `unimp data import csv`"
        ) from None
    except nw.exceptions.NarwhalsError as error:
        raise DataError(
            f"{name}: is not readable ({' '.join(str(error).split())}); check its columns"
        ) from None
    try:
        if isinstance(frame, nw.LazyFrame):
            frame = frame.collect()
        is_pandas = frame.implementation.is_pandas()
        result: pl.DataFrame = pandas_columns(frame.to_native(), name) if is_pandas else frame.to_polars()
    except (pl.exceptions.PolarsError, pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{name}: is not readable ({reason}); check its columns") from None
    plain = [" ".join(column.split()) for column in result.columns]
    twice = next((column for column in plain if plain.count(column) > 1), None)
    if twice is not None:
        raise DataError(f'{name}: column "{twice}" occurs twice; rename one of them')
    result.columns = plain
    return result


def pandas_columns(table: Any, called: str) -> pl.DataFrame:
    """A pandas table, column by column: periods as their first moment, values of mixed types as text."""
    columns: dict[str, pl.Series] = {}
    for place, name in enumerate(table.columns):
        column = table.iloc[:, place]
        if not isinstance(name, str):
            raise DataError(f"{called}: the names of columns must be text; rename them")
        if str(column.dtype).startswith("period"):
            column = column.dt.to_timestamp()
        if len(column) and isinstance(column.iloc[0], UUID):
            column = column.map(str, na_action="ignore")
        try:
            columns[name] = nw.from_native(column, series_only=True).to_polars()
        except (pl.exceptions.PolarsError, pa.ArrowException, ValueError, OverflowError, TypeError):
            texts = [None if gone else str(value) for value, gone in zip(column, column.isna(), strict=True)]
            columns[name] = pl.Series(name, texts, dtype=pl.String)
    return pl.DataFrame(columns)
