"""Times in the one form that a layout is known to use, as UTC seconds."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from unimp.data.raw import BadRows, Rows
from unimp.data.values import reject


def stated_time(rows: Rows, formats: Sequence[str], bad: BadRows, *, column: str = "timestamp") -> Rows:
    """`column`, text in one of `formats` (UTC without a zone), as seconds; another text is a bad row."""
    text = pl.col(column).str.strip_chars()
    parsed = [text.str.to_datetime(form, time_unit="us", strict=False).dt.epoch("s") for form in formats]
    frame = rows.frame.with_columns(pl.coalesce(parsed).alias("\0seconds"))
    kept = reject(
        Rows(rows.file, frame),
        pl.col("\0seconds").is_null(),
        column,
        f"{column} is not a time:",
        f"this layout writes them like {formats[0]}",
        bad,
    )
    return Rows(rows.file, kept.frame.with_columns(pl.col("\0seconds").alias(column)).drop("\0seconds"))
