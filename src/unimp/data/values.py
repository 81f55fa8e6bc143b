"""From text columns to ids, times, ratings and numbers; rows without a proper value are counted."""

from __future__ import annotations

import polars as pl

from unimp.data.interactions import RatingScale
from unimp.data.raw import ROW, BadRows, Rows

LATEST = 4_102_444_800
"""2100-01-01 in UTC seconds: a larger number is not a time in seconds."""


def reject(rows: Rows, wrong: pl.Expr, column: str, problem: str, remedy: str, bad: BadRows) -> Rows:
    """`rows` without those where `wrong` holds, each counted in `bad`; null counts as wrong."""
    flagged = rows.frame.with_columns(wrong.fill_null(True).alias("_wrong"))
    for row, value in flagged.filter("_wrong").select(ROW, column).iter_rows():
        shown = "nothing" if value is None else f'"{value}"'
        bad.add(f"{rows.place(row)}: {problem} {shown}; {remedy}")
    return Rows(rows.file, flagged.filter(~pl.col("_wrong")).drop("_wrong"))


def required_text(rows: Rows, column: str, bad: BadRows) -> Rows:
    """Rows where `column`, an id, is one line of text."""
    text = pl.col(column)
    wrong = text.is_null() | (text.str.strip_chars() == "") | text.str.contains(r"[\r\n]")
    return reject(rows, wrong, column, f"{column} is", "every row needs one, on one line", bad)


def seconds(
    rows: Rows, column: str, bad: BadRows, *, milliseconds: bool = False, required: bool = True
) -> Rows:
    """`column` as UTC seconds: whole numbers of seconds (or milliseconds), dates, or ISO dates with times.

    A date is its midnight; a time without zone is UTC.
    """
    text = pl.col(column).str.strip_chars() if rows.frame.schema[column] == pl.String else pl.col(column)
    number = text.cast(pl.Float64, strict=False)
    if milliseconds:
        number = number / 1000
    value = number.floor().cast(pl.Int64, strict=False)
    if rows.frame.schema[column] == pl.String:
        value = pl.coalesce(value, iso_seconds(text))
    parsed = rows.frame.with_columns(value.alias("_value"))
    wrong = ~pl.col("_value").is_between(0, LATEST)
    if not required:
        wrong = pl.col(column).is_not_null() & wrong.fill_null(True)
    unit = "milliseconds" if milliseconds else "seconds"
    remedy = f"expected UTC {unit} since 1970, a date such as 2020-09-16, or an ISO time"
    kept = reject(Rows(rows.file, parsed), wrong, column, f"{column} is not a time:", remedy, bad)
    return Rows(rows.file, kept.frame.with_columns(pl.col("_value").alias(column)).drop("_value"))


def iso_seconds(text: pl.Expr) -> pl.Expr:
    zoned = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%#z", time_unit="ms", strict=False)
    plain = text.str.replace("T", " ", literal=True).str.strip_chars_end("Z")
    parts = [
        zoned.dt.epoch("s"),
        plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="ms", strict=False).dt.epoch("s"),
        text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("ms")).dt.epoch("s"),
    ]
    return pl.coalesce(*parts)


def ratings(rows: Rows, column: str, scale: RatingScale, bad: BadRows, *, required: bool = True) -> Rows:
    """`column` as numbers that are levels of `scale`."""
    value = pl.col(column).cast(pl.Float64, strict=False)
    steps = (value - scale.low) / scale.step
    wrong = ~(value.is_between(scale.low, scale.high) & ((steps - steps.round()).abs() < 1e-6))
    if not required:
        wrong = pl.col(column).is_not_null() & wrong.fill_null(True)
    remedy = f"the scale is {scale.low:g} to {scale.high:g} in steps of {scale.step:g}"
    kept = reject(rows, wrong, column, f"{column} is outside its scale:", remedy, bad)
    return Rows(rows.file, kept.frame.with_columns(value.alias(column)))


def numbers(rows: Rows, column: str, bad: BadRows) -> Rows:
    """`column` as numbers; blank stays null."""
    value = pl.col(column).cast(pl.Float64, strict=False)
    wrong = pl.col(column).is_not_null() & (value.is_null() | ~value.is_finite())
    kept = reject(rows, wrong, column, f"{column} is not a number:", "correct it or leave it empty", bad)
    return Rows(rows.file, kept.frame.with_columns(value.alias(column)))
