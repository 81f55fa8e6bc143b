from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from unimp.core.errors import ConfigError
from unimp.data.raw import ROW, BadRows, Rows
from unimp.data.times import TimeReader
from unimp.data.values import seconds


def column(*values: str | None) -> Rows:
    frame = pl.DataFrame({"x": values, ROW: range(2, 2 + len(values))}, {"x": pl.String, ROW: pl.Int64})
    return Rows("t.csv", frame)


def read(*values: str | None, **options: object) -> tuple[list[datetime | None], BadRows]:
    """The times found, None for a bad row."""
    bad = BadRows(1000)
    frame = TimeReader(bad, **options).read(column(*values), "x").frame  # type: ignore[arg-type]
    found = dict(zip(frame[ROW], frame["x"], strict=True))
    return [found.get(row) for row in range(2, 2 + len(values))], bad


HALF_PAST = datetime(2021, 11, 5, 14, 30)


@pytest.mark.parametrize(
    "text",
    [
        "2021-11-05 14:30:00",  # pandas, PostgreSQL
        "2021-11-05T14:30:00.000000000",  # numpy
        "2021-11-05 14:30:00+00:00",  # pandas with a zone
        "2021-11-05 16:30:00+02",  # PostgreSQL
        "2021-11-05 20:00:00.000+05:30",
        "2021-11-05 14:30:00.000 UTC",  # BigQuery
        "2021-11-05 14:30",  # without seconds
        "2021-11-05T14:30Z",
        "2021-11-05 09:30:00 -0500",  # Shopify's exports
        "2021-11-05T09:30:00-05:00",  # Shopify's API
        "2021-11-05 15:30:00 Europe/Paris",
        "2021-11-05T15:30:00+01:00[Europe/Paris]",  # Java
        "2021-11-05 10:30:00.000 America/New_York",
        "2021-11-05 15:30:00 CET",
        "2021-11-05 15:30:00 +0100 CET",  # Go
        "20211105T143000Z",
        "202111051430",  # GA4's dateHourMinute
        "20211105143000",
        "2021/11/05 2:30 PM",
        "2021-11-05, 14:30:00",
        "Fri, 05 Nov 2021 14:30:00 GMT",  # RFC 2822
        "Fri Nov 05 2021 15:30:00 GMT+0100 (Central European Standard Time)",  # JavaScript
        "Fri Nov  5 14:30:00 2021",  # C
        "Fri Nov  5 14:30:00 UTC 2021",  # date
        "Nov 5, 2021 at 2:30 p.m.",
        "5 November 2021 14:30",
        "05-Nov-2021 14:30:00",
        "05-NOV-21 02.30.00.000000000 PM",  # Oracle
        "05/Nov/2021:14:30:00 +0000",  # Apache
        "05NOV2021:14:30:00",
        "Fri Nov 05 14:30:00.000 2021 UTC",  # PostgreSQL's other style
        "Fri Nov 05 10:30:00 2021 -04",
        "2021-11-05 16:30:00 GMT+2",
        "20211105 143000",
        "2021-11-05_14:30:00",
        "05.11.2021 14:30",
        "05.11.2021 14:30 Uhr",
        "2021年11月5日 14:30",
        "2021-11-05-14.30.00.000000",  # DB2
        "2021-11-05 14:30:00\u200e",  # as browsers copy it
        "1636122600",
        "1636122600.0",
        "1636122600000",
        "1636122600000000",
        "1636122600000000000",
        "1.6361226E9",  # BigQuery's JSON
    ],
)
def test_a_moment_as_programs_print_it(text: str) -> None:
    assert read(text)[0] == [HALF_PAST]


@pytest.mark.parametrize(
    "text",
    ["2021-11-05", "20211105", "2021-11-05 00:00:00", "05 Nov 2021", "Nov 5, 2021", "5.11.21", "44505"],
)
def test_a_day(text: str) -> None:
    assert read(text)[0] == [datetime(2021, 11, 5)]


def test_less_than_a_day_is_known() -> None:
    assert read("2021-11")[0] == [datetime(2021, 11, 1)]
    assert read("202111")[0] == [datetime(2021, 11, 1)]
    assert read("2021")[0] == [datetime(2021, 1, 1)]
    assert read("2021110514")[0] == [datetime(2021, 11, 5, 14)]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("20211105", "dates, YYYYMMDD"),
        ("202111", "dates, YYYYMM"),
        ("2021", "years"),
        ("44505.25", "days of a spreadsheet"),
        ("1636122600000", "milliseconds since 1970"),
        ("1636122600000000", "microseconds since 1970"),
        ("1636122600000000000", "nanoseconds since 1970"),
        ("86400", "times before 1990"),
    ],
)
def test_what_a_number_was_taken_for_is_noted(number: str, words: str) -> None:
    notes = read(number)[1].notes
    assert len(notes) == 1
    assert words in notes[0]
    assert number in notes[0]
    assert "--time-format" in notes[0]


def test_seconds_need_no_note() -> None:
    assert read("1636122600")[1].notes == ()


def test_fractions_keep_their_order() -> None:
    assert read("1636122600.25", "1636122600.125")[0] == [
        HALF_PAST.replace(microsecond=250_000),
        HALF_PAST.replace(microsecond=125_000),
    ]
    bad = BadRows(0)
    frame = TimeReader(bad).read(column("1636122600000000003", "1636122600000000001"), "x").frame
    assert frame["x"].arg_sort().to_list() == [1, 0]
    frame = (
        TimeReader(bad)
        .read(column("2021-11-05T14:30:00.000000003Z", "2021-11-05T14:30:00.000000001Z"), "x")
        .frame
    )
    assert frame["x"].arg_sort().to_list() == [1, 0]


def test_the_first_table_decides_what_numbers_are() -> None:
    reader = TimeReader(BadRows(10))
    reader.read(column("1636122600000"), "x")
    assert reader.read(column("1636122600"), "x").frame.is_empty()
    assert "expected milliseconds since 1970 like the other rows" in reader.bad.problems[0]


def test_day_or_month_first_is_read_where_one_value_proves_it() -> None:
    found, bad = read("5/11/2021", "25/11/2021 14:30")
    assert found == [datetime(2021, 11, 5), datetime(2021, 11, 25, 14, 30)]
    assert "day first" in bad.notes[0]
    assert read("5/11/2021", "5/31/21")[0] == [datetime(2021, 5, 11), datetime(2021, 5, 31)]


@pytest.mark.parametrize("values", [["5/11/2021"], ["25/11/2021", "11/25/2021"]])
def test_day_or_month_first_is_not_guessed(values: list[str]) -> None:
    found, bad = read(*values)
    assert found == [None] * len(values)
    assert bad.problems[0].startswith('t.csv:2: x may have its day or its month first: "')
    assert '--time-format "%d/%m/%Y' in bad.problems[0]
    assert read("5/11/2021", time_format="%d/%m/%Y")[0] == [datetime(2021, 11, 5)]


@pytest.mark.parametrize(
    "value",
    [
        *("yesterday", "2021-13-01", "2021-02-30", "-1", "inf", "24:00", "2021-11-05 25:00", "9999-12-31"),
        *("0001-01-01", "1969-12-31", "637717194000000000", "2021-11-05 14:30 XYZ"),
        *("2021-11-05 Europe/Nowhere", "NaT", "NULL", "nan", None, "13:00 pm"),
    ],
)  # fmt: skip
def test_what_is_no_time(value: str | None) -> None:
    found, bad = read("2021-11-05 14:30:00", value)
    assert found == [HALF_PAST, None]
    assert bad.count == 1
    assert bad.problems[0].startswith("t.csv:3: x is not a time: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2021Q4", datetime(2021, 10, 1)), ("2021-11-01/2021-11-07", datetime(2021, 11, 1)), ("2021-11", None)],
)
def test_periods_begin_with_their_first_day(text: str, expected: datetime | None) -> None:
    assert read(text)[0] == [expected or datetime(2021, 11, 1)]


def test_times_that_need_not_be_there() -> None:
    frame = TimeReader(BadRows(0)).read(column(None, "NaT", "2021-11-05"), "x", required=False).frame
    assert frame["x"].to_list() == [None, None, datetime(2021, 11, 5)]


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("seconds", "60"),
        ("ms", "60000"),
        ("us", "60000000"),
        ("excel", "25569.000694444444"),
        ("%H:%M on %Y/%d/%m", "00:01 on 1970/01/01"),
        ("%d%m%Y%z%H%M", "01011970+01000101"),
        ("%Y-%m-%d %H:%M:%S.%f", "1970-01-01 00:01:00.0"),
        ("%Y-%m-%d %H:%M:%S%.f", "1970-01-01 00:01:00.0"),
    ],
)
def test_a_format_that_is_given(form: str, value: str) -> None:
    found, bad = read(value, time_format=form)
    assert found == [datetime(1970, 1, 1, 0, 1)]
    doubts = [note for note in bad.notes if "before 1990" in note and note.endswith("?")]
    assert len(doubts) == len(bad.notes) == (0 if "%" in form else 1)


@pytest.mark.parametrize("form", ["%Q", "", "%H", "day/month", "%"])
def test_a_format_that_cannot_be(form: str) -> None:
    with pytest.raises(ConfigError, match="--time-format"):
        read("1", time_format=form)


def test_columns_that_are_times_already() -> None:
    zoned = pl.Series("x", [HALF_PAST]).dt.replace_time_zone("Europe/Paris")
    for values, expected in (
        (pl.Series("x", [HALF_PAST]), HALF_PAST),
        (zoned, datetime(2021, 11, 5, 13, 30)),
        (pl.Series("x", [HALF_PAST.date()]), datetime(2021, 11, 5)),
        (pl.Series("x", [1_636_122_600]), HALF_PAST),
        (pl.Series("x", [1_636_122_600_000.0]), HALF_PAST),
    ):
        rows = Rows("t", pl.DataFrame([values, pl.Series(ROW, [1])]))
        assert TimeReader(BadRows(0)).read(rows, "x").frame["x"].to_list() == [expected]


def test_layouts_whose_unit_is_known() -> None:
    rows = column("86400", "86400.9", "1970-01-02", "1970-01-02T00:00:00Z", "20200916")
    bad = BadRows(0)
    epochs = seconds(rows, "x", bad).frame["x"].dt.epoch("s").to_list()
    assert epochs == [86400] * 4 + [20_200_916]
    assert bad.notes == ()
    milliseconds = seconds(column("86400999"), "x", bad, milliseconds=True).frame["x"]
    assert milliseconds.dt.epoch("ms").to_list() == [86_400_999]
    assert seconds(column("1400000000000"), "x", BadRows(9)).frame.is_empty()
