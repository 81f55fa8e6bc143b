from __future__ import annotations

import polars as pl
import pytest

from unimp.data.interactions import RatingScale
from unimp.data.raw import ROW, BadRows, Decimal, Rows
from unimp.data.values import numbers, ratings


def column(*values: str | None) -> Rows:
    frame = pl.DataFrame({"x": values, ROW: range(2, 2 + len(values))}, {"x": pl.String, ROW: pl.Int64})
    return Rows("t.csv", frame)


def read(values: list[str | None], decimal: Decimal = "auto") -> tuple[list[float | None], BadRows]:
    bad = BadRows(100)
    return numbers(column(*values), "x", bad, decimal=decimal).frame["x"].to_list(), bad


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1.5", " 2 ", "1e3", "-0.25"], [1.5, 2, 1000, -0.25]),
        (["3,50", "1.299,00", "1.299"], [3.5, 1299, 1299]),
        (["3.50", "1,299.00", "1,299"], [3.5, 1299, 1299]),
        (["$1,299.00", "US$ 5", "USD 7.5"], [1299, 5, 7.5]),
        (["12,90 €", "€ 3", "1 299,00 €", "1\u202f299,00"], [12.9, 3, 1299, 1299]),
        (["CHF 1'299.00", "5.- "], [1299, 5]),
        (["£4", "¥500", "Rs. 20", "45 kr", "10 zł"], [4, 500, 20, 45, 10]),
        (["1,299,000", "12"], [1_299_000, 12]),
        (["1.299.000"], [1_299_000]),
        (["AU$5", "HK$ 6", "AED 7", "8 SGD", "RM9", "10 TL", "-$2"], [5, 6, 7, 8, 9, 10, -2]),
        (["kr 1.299,-", "5,-", "3,– "], [1299, 5, 3]),
        (["(12.50)", "$(3)", "4.5-", "\u22122.5"], [-12.5, -3, -4.5, -2.5]),
        (["0,125", "1234,567"], [0.125, 1234.567]),
        (["NULL", "nan", "-", "N/A", "NA", None, "", "4"], [None] * 7 + [4]),
    ],
)
def test_numbers_as_shops_write_them(values: list[str | None], expected: list[float | None]) -> None:
    found, bad = read(values)
    assert found == pytest.approx(expected, abs=1e-9)
    assert bad.count == 0


def test_a_comma_that_could_be_either_is_not_guessed() -> None:
    found, bad = read(["1,299"])
    assert found == []
    assert 't.csv:2: x may have a decimal comma or not: "1,299"; say --decimal' in bad.problems[0]
    assert read(["1,299"], ",")[0] == [1.299]
    assert read(["1,299"], ".")[0] == [1299]
    assert read(["1.299"], ",")[0] == [1299]


def test_points_that_could_part_thousands_are_read_and_said() -> None:
    found, bad = read(["Rp 12.000", "1.250", "7"])
    assert found == [12, 1.25, 7]
    assert bad.notes == (
        'x: numbers such as "Rp 12.000" read with a decimal point; --decimal , reads thousands',
    )
    assert read(["12.000", "1.5"])[1].notes == ()
    assert read(["12.000", "1.5"])[0] == [12, 1.5]


@pytest.mark.parametrize("value", ["cheap", "from $5", "5 each", "ABC 5", "inf", "12-14", "1,2,3", "1.2.3"])
def test_what_is_no_number(value: str) -> None:
    found, bad = read(["1", value])
    assert found == [1]
    assert bad.problems == [f't.csv:3: x is not a number: "{value}"; correct it or leave it empty']


def test_a_long_or_broken_value_is_shown_on_one_short_line() -> None:
    bad = read(["a\nb" * 1000])[1]
    assert "\n" not in bad.problems[0]
    assert len(bad.problems[0]) < 200


def test_ratings_must_be_levels_of_the_scale() -> None:
    half = RatingScale(0.5, 5, 0.5)
    assert ratings(column("0.5", "4,5", "5"), "x", half, BadRows(0)).frame["x"].to_list() == [0.5, 4.5, 5]
    for value in ("0", "5.5", "4.25", "five", "nan", None):
        bad = BadRows(9)
        assert ratings(column(value), "x", half, bad).frame.is_empty()
        assert bad.problems[0].startswith("t.csv:2: x is outside its scale: ")
        assert "0.5 to 5 in steps of 0.5" in bad.problems[0]


def test_a_rating_of_0_is_none_where_ratings_may_be_missing() -> None:
    scale = RatingScale(1, 10, 1)
    bad = BadRows(0)
    found = ratings(column(None, "NULL", "0", "7"), "x", scale, bad, required=False).frame["x"].to_list()
    assert found == [None, None, None, 7]
    assert "a rating of 0 is none on the scale of 1 to 10" in bad.notes[0]
    from_zero = RatingScale(0, 10, 1)
    assert ratings(column("0"), "x", from_zero, BadRows(0), required=False).frame["x"].to_list() == [0]
