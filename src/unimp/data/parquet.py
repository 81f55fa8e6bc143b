"""Reads the tables of a data folder."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet

from unimp.core.compute import available_memory
from unimp.core.errors import DataError
from unimp.data.interactions import COLUMNS, OPTIONAL

EVENT_BYTES = 100
"""Memory that an event takes at most while a data folder is opened, its words aside (docs/data.md)."""


def read_events(path: Path) -> pl.DataFrame:
    """The table of events; columns without any value are not read, and take no memory."""
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            events, blank = file.metadata.num_rows, blank_columns(file.metadata)
            names = file.schema_arrow.names
    except (OSError, pa.ArrowException):
        return read_table(path)  # says what is wrong
    free, needed = available_memory(), events * EVENT_BYTES
    if free is not None and needed > free:
        raise DataError(
            f"{path}: {events:,} events take about {needed / 2**30:.1f} GiB of {free / 2**30:.1f} GiB free; "
            "open it on a machine with more memory, or import fewer (--where, --kinds, --k-core)"
        )
    table = read_table(path, [name for name in names if name not in blank])
    nothing = [pl.lit(None, dtype=COLUMNS[name]).alias(name) for name in blank]
    return table.with_columns(nothing).select(names)


def blank_columns(metadata: pyarrow.parquet.FileMetaData) -> set[str]:
    """The optional columns of events that are null in every row, by the file's statistics."""
    found: set[str] = set()
    for place in range(metadata.num_columns):
        groups = [metadata.row_group(group).column(place) for group in range(metadata.num_row_groups)]
        nulls = [group.statistics.null_count if group.statistics else None for group in groups]
        name = groups[0].path_in_schema if groups else ""
        if name in OPTIONAL and nulls == [group.num_values for group in groups]:
            found.add(name)
    return found


def read_table(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read ({reason}); import the data again") from None
