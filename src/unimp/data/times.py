"""Times as shops, databases and spreadsheets print them, as UTC Datetimes in nanoseconds.

Text is tried as ISO 8601 first, then in the forms with named months, day-first and month-first dates. Numbers
are told apart by their size: seconds, milli-, micro- or nanoseconds since 1970, dates written as one number
(20200916), years, days of a spreadsheet. Whatever was decided is noted; what is not certain is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from unimp.data.raw import ROW, BadRows, Rows
from unimp.data.texts import MISSING
from unimp.data.time_forms import (
    DAY_OR_MONTH_FIRST,
    EARLY,
    EITHER_WAY,
    FAST_FORMATS,
    TIME,
    UNIT_NAMES,
    UNITS,
    check_format,
    describe,
    fast,
    from_iso,
    from_numbers,
    number_form,
    scaled,
    tidy,
    within,
)
from unimp.data.values import reject

REMEDY = "expected a date or time such as 2020-09-16 12:30:00+02:00, or a number of seconds since 1970"
VALUE, UNSURE = "\0time", "\0unsure"
"""Columns while reading: the time found, and whether day and month could be either way round."""


@dataclass
class TimeReader:
    """Reads the times of one table, chunk by chunk; what the first chunk settles holds for all."""

    bad: BadRows
    time_format: str | None = None
    """One of UNITS, `excel`, or a strptime format; None: found out."""
    number_form: str | None = None
    """What numbers are: one of UNITS, `excel`, `year`, or a format of DATE_NUMBERS; None: found out."""
    day_first: bool | None = None
    """Whether 1/2/2020 is in February; None: found out."""
    options: bool = True
    """Whether the user can choose, so that decisions are noted and remedies name `--time-format`."""
    given: bool = False
    """Whether the user has chosen."""

    def __post_init__(self) -> None:
        self.given = self.given or self.time_format is not None
        if self.time_format in UNITS or self.time_format == "excel":
            self.number_form, self.time_format = self.time_format, None
        elif self.time_format is not None:
            self.time_format = check_format(self.time_format)

    def read(self, rows: Rows, column: str, *, required: bool = True) -> Rows:
        """`rows` with `column` as TIME; rows whose time is none are bad, and without one if `required`."""
        given = rows.frame[column]
        text = given.str.strip_chars() if given.dtype == pl.String else given
        if text.dtype == pl.String:
            text = text.set(text.is_in(MISSING), None)
        value = self.parse(text, column, rows)
        unsure = pl.Series([False]).new_from_index(0, len(value))
        if (
            value.null_count()
            and text.dtype == pl.String
            and self.time_format is None
            and self.day_first is None
        ):
            unsure = value.is_null() & text.str.contains(EITHER_WAY).fill_null(False)
        frame = rows.frame.with_columns(value.alias(VALUE), unsure.alias(UNSURE))
        rows = reject(
            Rows(rows.file, frame),
            pl.col(UNSURE),
            column,
            f"{column} may have its day or its month first:",
            'say which, such as --time-format "%d/%m/%Y %H:%M"' if self.options else REMEDY,
            self.bad,
        )
        wrong = pl.col(VALUE).is_null()
        if not required:
            wrong &= known_value(rows, column)
        kept = reject(rows, wrong, column, f"{column} is not a time:", self.remedy, self.bad)
        return Rows(rows.file, kept.frame.with_columns(pl.col(VALUE).alias(column)).drop(VALUE, UNSURE))

    @property
    def remedy(self) -> str:
        form = self.number_form
        if form in UNITS and form != "seconds":
            return f"expected {UNIT_NAMES[str(form)]} since 1970 like the other rows"
        return f"{REMEDY} (--time-format reads other forms)" if self.options else REMEDY

    def parse(self, given: pl.Series, column: str, rows: Rows) -> pl.Series:
        """[len(given)] TIME between 1970 and 2100, null for what is none."""
        if self.time_format is not None:
            text = given.cast(pl.String)
            return within(text.str.to_datetime(self.time_format, strict=False, time_unit="us"))
        if given.dtype.is_temporal():
            return within(given)
        if given.dtype.is_numeric():
            return self.numbers(given, column, rows)
        if given.dtype != pl.String:
            return pl.Series([None], dtype=TIME).new_from_index(0, len(given))
        whole = given.cast(pl.Int64, strict=False)
        if whole.null_count() == given.null_count():
            return self.numbers(whole, column, rows)
        numeric = given.str.contains(r"^[+-]?\d+(?:[.,]\d*)?(?:[eE][+-]?\d+)?$").fill_null(False)
        if numeric.all():
            return self.numbers(given, column, rows)
        value = self.texts(given.set(numeric, None))
        if numeric.any():
            value = value.zip_with(value.is_not_null(), self.numbers(given.set(~numeric, None), column, rows))
        self.note_early(value, given, column, rows)
        return value

    def numbers(self, given: pl.Series, column: str, rows: Rows) -> pl.Series:
        if given.dtype == pl.String:
            given = given.str.replace(",", ".", literal=True)
        whole, real = given.cast(pl.Int64, strict=False), given.cast(pl.Float64, strict=False)
        if not given.dtype.is_integer():
            as_whole = pl.select(
                pl.when(real == real.floor()).then(real).cast(pl.Int64, strict=False)
            ).to_series()
            whole = whole.zip_with(whole.is_not_null(), as_whole)
        if self.number_form is None and real.drop_nulls().len():
            self.number_form = number_form(whole, real)
            if self.options and self.number_form != "seconds":
                shown = given.drop_nulls().cast(pl.String)[0]
                self.bad.note(
                    f'{column}: numbers such as "{shown}" read as {describe(self.number_form)}; '
                    "--time-format says otherwise"
                )
        value = from_numbers(whole, real, self.number_form or "seconds")
        if self.options and not self.given and self.number_form != "seconds":
            # seconds among milliseconds would be of January 1970
            value = value.set((value < scaled(EARLY)).fill_null(False), None)
        self.note_early(value, given, column, rows)
        return value

    def note_early(self, value: pl.Series, given: pl.Series, column: str, rows: Rows) -> None:
        """One note about times before 1990: mostly they are something else than what they are taken for."""
        early = value < scaled(EARLY)
        if not self.options or not early.any():
            return
        at = int(early.fill_null(False).arg_max() or 0)
        self.bad.note_once(
            f"{column} before 1990",
            f'{column}: times before 1990, such as "{given[at]}" ({rows.place(rows.frame[ROW][at])}) read as '
            f"{value[at]:%Y-%m-%d}; {self.doubt}",
        )

    @property
    def doubt(self) -> str:
        return (
            f"are they {describe(str(self.number_form))}?"
            if self.given
            else "if that is not what it means, say --time-format"
        )

    def texts(self, given: pl.Series) -> pl.Series:
        """Times in words and signs; each distinct text that no fast way reads is taken apart once."""
        value = pl.Series([None], dtype=TIME).new_from_index(0, len(given))
        pending = given
        for form in FAST_FORMATS:
            start = pending.drop_nulls().head(1)
            if not len(start):
                return value
            if start.str.len_chars()[0] > 27 or fast(start, form).null_count():
                continue
            value = value.zip_with(value.is_not_null(), fast(pending, form))
            pending = pending.set(value.is_not_null(), None)
        left = pending.drop_nulls().unique().alias("text")
        if not len(left):
            return value
        found = pl.DataFrame([left, self.forms(left).alias(VALUE)])
        slow = pl.DataFrame([pending.alias("text")]).join(found, on="text", how="left", maintain_order="left")
        return value.zip_with(value.is_not_null(), slow[VALUE])

    def forms(self, text: pl.Series) -> pl.Series:
        """[len(text)] TIME of texts in any of the forms of this file."""
        parts = pl.DataFrame([text.alias("text")]).select(tidy(pl.col("text")))
        parts = parts.with_columns(pl.col("text").str.extract_groups(DAY_OR_MONTH_FIRST).alias("numeric"))
        first, second = (pl.col("numeric").struct[name].cast(pl.Int64) for name in ("first", "second"))
        dotted = pl.col("numeric").struct["mark"] == "."
        if self.day_first is None:
            undecided = parts.filter(~dotted)
            over = undecided.select((first > 12).any().alias("day"), (second > 12).any().alias("month"))
            day, month = over.row(0)
            self.day_first = None if day == month else bool(day)
            if self.options and self.day_first is not None:
                order = "day first" if self.day_first else "month first"
                self.bad.note(f"dates such as 1/2/2020 read as {order}; --time-format says otherwise")
        year = pl.col("numeric").struct["year"]
        century = pl.when(year.str.len_chars() == 4).then(pl.lit("")).when(year < "70").then(pl.lit("20"))
        year = century.otherwise(pl.lit("19")) + year
        day_first = dotted | pl.lit(self.day_first or False)
        sure = dotted | pl.lit(self.day_first is not None)
        day, month = first, second
        ordered = pl.format(
            "{}-{}-{}{}",
            year,
            pl.when(day_first).then(month).otherwise(day),
            pl.when(day_first).then(day).otherwise(month),
            pl.col("numeric").struct["rest"].fill_null(""),
        )
        is_numeric = pl.col("numeric").struct["first"].is_not_null()
        iso = pl.when(is_numeric & sure).then(ordered).when(~is_numeric).then("text")
        return from_iso(parts.select(iso.alias("text"))["text"])


def known_value(rows: Rows, column: str) -> pl.Expr:
    """Whether there is anything that could be a time."""
    there = pl.col(column).is_not_null()
    if rows.frame.schema[column] == pl.String:
        there &= ~pl.col(column).str.strip_chars().is_in(MISSING)
    return there
