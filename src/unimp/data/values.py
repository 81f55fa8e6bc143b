"""From text columns to ids, times, ratings and numbers; rows without a proper value are counted."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from unimp.data.interactions import RatingScale
from unimp.data.raw import ROW, BadRows, Decimal, Rows
from unimp.data.texts import MISSING_NUMBERS

NUMBER, UNSURE = "\0number", "\0unsure"
"""Columns while reading: the number found, and whether its comma could be a decimal or a thousands one."""
CODES = (
    "AED|ARS|AUD|BDT|BGN|BHD|BOB|BRL|CAD|CHF|CLP|CNY|COP|CRC|CZK|DKK|DOP|DZD|EGP|EUR|GBP|GEL|GHS|GTQ|HKD|HRK|HUF|"
    "IDR|ILS|INR|IQD|IRR|ISK|JMD|JOD|JPY|KES|KRW|KWD|KZT|LBP|LKR|MAD|MDL|MMK|MUR|MXN|MYR|NGN|NOK|NPR|NZD|OMR|PEN|"
    "PHP|PKR|PLN|PYG|QAR|RMB|RON|RSD|RUB|SAR|SEK|SGD|THB|TND|TRY|TWD|TZS|UAH|UGX|USD|UYU|UZS|VND|XAF|XOF|ZAR|ZMW"
)
"""ISO 4217, what shops sell in."""
SIGN = rf"(?:[a-z]{{0,3}}\p{{Sc}}|%|{CODES}|rs\.?|rp\.?|rm|kr\.?|tl|zł|kč|ft|lei|fr\.|руб\.?|р\.)"
CURRENCY = rf"(?i)^(?:{SIGN})+|(?:{SIGN})+$"
NO_CENTS = r"([.,])[-–—]{1,2}$"
"""`1.299,-` is a whole number, and has a decimal comma."""
NEGATIVE = r"^\((.+)\)$|^([^-]+)-$"
"""As accountants write it."""
BLANKS = r"[\s\x{a0}\x{202f}\x{2009}'’]"
"""What may part thousands besides points and commas."""


def shown(value: Any) -> str:
    """A value as messages quote it: on one line, and not longer than that."""
    if value is None:
        return "nothing"
    text = str(value)
    text = text if len(text) <= 80 else f"{text[:77]}…"
    return '"' + re.sub(r"[\r\n]+", "\\\\n", text) + '"'


def reject(rows: Rows, wrong: pl.Expr, column: str, problem: str, remedy: str, bad: BadRows) -> Rows:
    """`rows` without those where `wrong` holds, each counted in `bad`; null counts as wrong."""
    mask = rows.frame.select(wrong.fill_null(True).alias(ROW))[ROW]
    if not mask.any():
        return rows
    gone = rows.frame.filter(mask)
    first = gone.select(ROW, pl.col(column).alias("value")).head(bad.SHOWN)
    texts = [f"{rows.place(row)}: {problem} {shown(value)}; {remedy}" for row, value in first.iter_rows()]
    bad.add_many(texts, gone.height, problem.removesuffix(":"))
    if "item_id" in gone.columns and "user_id" not in gone.columns:
        bad.lost_items.update(gone["item_id"].drop_nulls())
    return Rows(rows.file, rows.frame.filter(~mask))


def required_text(rows: Rows, column: str, bad: BadRows) -> Rows:
    """Rows where `column`, an id, is one line of text."""
    text = pl.col(column)
    broken = text.str.contains("\n", literal=True) | text.str.contains("\r", literal=True)
    wrong = text.is_null() | (text.str.strip_chars() == "") | broken
    return reject(rows, wrong, column, f"{column} is", "every row needs one, on one line", bad)


def seconds(
    rows: Rows, column: str, bad: BadRows, *, milliseconds: bool = False, required: bool = True
) -> Rows:
    """`column` as UTC Datetimes, for layouts whose numbers are known to be seconds (or milliseconds).

    A date is its midnight; a time without zone is UTC; fractions of a second are kept, for the order.
    """
    from unimp.data.times import TimeReader

    reader = TimeReader(bad, number_form="ms" if milliseconds else "seconds", options=False)
    return reader.read(rows, column, required=required)


def ratings(
    rows: Rows,
    column: str,
    scale: RatingScale,
    bad: BadRows,
    *,
    required: bool = True,
    decimal: Decimal = "auto",
    remedy: str = "",
) -> Rows:
    """`column` as numbers that are levels of `scale`.

    Where ratings are not `required`, blank ones are null, and so is 0 on a scale that begins above it.
    """
    rows = numbers(rows, column, bad, decimal=decimal, strict=False)
    value = pl.col(NUMBER)
    if not required and scale.low > 0:
        zeros = int(rows.frame.select((value == 0).sum()).item())
        if zeros:
            bad.note(f"{column}: a rating of 0 is none on the scale of {scale.low:g} to {scale.high:g}")
            rows = Rows(
                rows.file,
                rows.frame.with_columns(
                    pl.when(value != 0).then(value).alias(NUMBER),
                    pl.when((value != 0) | value.is_null()).then(pl.col(column)).alias(column),
                ),
            )
    steps = (value - scale.low) / scale.step
    wrong = ~(value.is_between(scale.low, scale.high) & ((steps - steps.round()).abs() < 1e-6))
    if not required:
        wrong = has_value(rows, column) & wrong.fill_null(True)
    advice = f"the scale is {scale.low:g} to {scale.high:g} in steps of {scale.step:g}{remedy}"
    kept = reject(rows, wrong, column, f"{column} is outside its scale:", advice, bad)
    return Rows(rows.file, kept.frame.with_columns(value.alias(column)).drop(NUMBER))


def has_value(rows: Rows, column: str) -> pl.Expr:
    there = pl.col(column).is_not_null()
    if rows.frame.schema[column] == pl.String:
        there &= ~pl.col(column).str.strip_chars().is_in(MISSING_NUMBERS)
    elif rows.frame.schema[column].is_float():
        there &= ~pl.col(column).is_nan()
    return there


def numbers(rows: Rows, column: str, bad: BadRows, *, decimal: Decimal = "auto", strict: bool = True) -> Rows:
    """`column` as numbers; blank stays null.

    Currency signs and separators of thousands are left out; the decimal sign is found out from the values
    unless it is given. Unless `strict`, the numbers stay beside the column, in NUMBER, and no row is bad.
    """
    value, unsure = parse_numbers(rows.frame[column], decimal)
    if decimal == "auto":
        note_thousands(rows.frame[column], column, bad)
    rows = Rows(rows.file, rows.frame.with_columns(value.alias(NUMBER), unsure.alias(UNSURE)))
    rows = reject(
        rows, pl.col(UNSURE), column, f"{column} may have a decimal comma or not:",
        "say --decimal , or --decimal .", bad,
    )  # fmt: skip
    rows = Rows(rows.file, rows.frame.drop(UNSURE))
    if not strict:
        return rows
    wrong = has_value(rows, column) & (pl.col(NUMBER).is_null() | ~pl.col(NUMBER).is_finite())
    kept = reject(rows, wrong, column, f"{column} is not a number:", "correct it or leave it empty", bad)
    return Rows(rows.file, kept.frame.with_columns(pl.col(NUMBER).alias(column)).drop(NUMBER))


def parse_numbers(given: pl.Series, decimal: Decimal) -> tuple[pl.Series, pl.Series]:
    """[N] the numbers, null where there is none, and [N] whether the decimal sign of a value is uncertain."""
    sure = pl.Series([False]).new_from_index(0, len(given))
    if given.dtype != pl.String:
        number = given.cast(pl.Float64, strict=False)
        return number.set(number.is_nan().fill_null(False), None), sure
    text = given.str.strip_chars()
    text = text.set(text.is_in(MISSING_NUMBERS), None)
    number = text.cast(pl.Float64, strict=False)
    number = number.set(number.is_nan().fill_null(False), None)
    if number.null_count() == text.null_count() and decimal != ",":
        return number, sure
    bare = text.str.replace_all(BLANKS, "").str.replace(r"^[−‒–]", "-").str.replace_all(CURRENCY, "")
    bare = bare.str.replace(NO_CENTS, "${1}0").str.replace(NEGATIVE, "-${1}${2}")
    bare = bare.str.replace_all(CURRENCY, "").str.replace(rf"(?i)^-(?:{SIGN})", "-")
    comma, unsure = find_decimal(bare, decimal)
    as_point = bare.set(~bare.str.contains(GROUPS_BY_COMMA), None).str.replace_all(",", "", literal=True)
    as_comma = bare.set(~bare.str.contains(GROUPS_BY_POINT), None).str.replace_all(".", "", literal=True)
    as_comma = as_comma.str.replace(",", ".", literal=True)
    return as_comma.zip_with(comma, as_point).cast(pl.Float64, strict=False), unsure


def note_thousands(given: pl.Series, column: str, bad: BadRows) -> None:
    """Say it where all numbers with a point could have a separator of thousands there instead."""
    if given.dtype != pl.String:
        return
    pointed = given.filter(given.str.contains(".", literal=True).fill_null(False))
    if len(pointed) and pointed.str.contains(THREE_BEHIND).all():
        bad.note_once(
            f"thousands in {column}",
            f'{column}: numbers such as "{pointed[0]}" read with a decimal point; --decimal , reads '
            "thousands",
        )


POINT = r"^[+-]?(?:\d{1,3}(?:,\d{3})+\.\d*|\d{1,3}(?:,\d{3}){2,}|\d*\.\d+(?:[eE].*)?|\d+)$"
"""Certainly a decimal point, or no decimal sign."""
COMMA = r"^[+-]?(?:\d{1,3}(?:\.\d{3})+,\d*|\d{1,3}(?:\.\d{3}){2,}|\d{4,},\d+|\d*,(?:\d{1,2}|\d{4,})|0,\d+)$"
"""Certainly a decimal comma."""
GROUPS_BY_COMMA = r"^[^,]*$|^[+-]?\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d*)?$"
GROUPS_BY_POINT = r"^[^.]*$|^[+-]?\d{1,3}(?:\.\d{2,3})*\.\d{3}(?:,\d*)?$"
"""Separators of thousands where they belong, if there are any."""
EITHER = r"^[+-]?[1-9]\d{0,2},\d{3}$"
THREE_BEHIND = r"^[^\d.,]*[1-9]\d{0,2}\.\d{3}[^\d.,]*$"
POINT_OR_THOUSANDS = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"


def find_decimal(bare: pl.Series, decimal: Decimal) -> tuple[pl.Series, pl.Series]:
    """[N] whether a number has a decimal comma, and [N] whether that is uncertain."""
    comma = bare.str.contains(COMMA).fill_null(False)
    either = bare.str.contains(EITHER).fill_null(False)
    thousands = bare.str.contains(POINT_OR_THOUSANDS).fill_null(False)
    point = (bare.str.contains(POINT) & bare.str.contains(".", literal=True)).fill_null(False) & ~thousands
    if decimal == "auto" and comma.any() != point.any():
        decimal = "," if comma.any() else "."
    none = pl.Series([False]).new_from_index(0, len(bare))
    if decimal == "auto":
        return comma, either if comma.any() or not thousands.any() else none
    if decimal == ",":
        return comma | either | thousands, none
    return comma, none
