"""The forms of times: numbers by their size, texts by their signs, as UTC Datetimes in nanoseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import polars as pl

from unimp.core.errors import ConfigError

TIME = pl.Datetime("ns")
EARLIEST, EARLY, LATEST = 0, 631_152_000, 4_102_444_800
"""1970, 1990 and 2100 in UTC seconds: no time lies outside of 1970 to 2100, and one before 1990 is noted."""
NANOSECONDS = 1_000_000_000
UNITS = {"seconds": NANOSECONDS, "ms": 1_000_000, "us": 1000, "ns": 1}
UNIT_NAMES = {"seconds": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
DATE_NUMBERS = {8: "%Y%m%d", 6: "%Y%m", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Number of digits -> how a date is written as one number."""
EXCEL_EPOCH_DAYS = 25_569
"""Days from the spreadsheets' day 0 (1899-12-30) to 1970."""
SAMPLE = 10_000
FAST_FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%S%.fZ",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S %z",
)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
WEEKDAY = r"^(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
CLOCK = r"(\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)"
ABBREVIATIONS = {
    **dict.fromkeys(("z", "utc", "gmt", "ut"), 0),
    "est": -5,
    "edt": -4,
    "cst": -6,
    "cdt": -5,
    "mst": -7,
    "mdt": -6,
    "pst": -8,
    "pdt": -7,  # RFC 2822
    "wet": 0,
    "west": 1,
    "cet": 1,
    "cest": 2,
    "eet": 2,
    "eest": 3,
    "msk": 3,
    "jst": 9,
}
"""Zone -> hours ahead of UTC; a name that means several zones is not among them."""
FORM = (
    r"^(?<year>\d{4})[-/.](?<month>\d{1,2})(?:[-/.](?<day>\d{1,2}))?"
    r"(?:(?:\s*t\s*|[\s,:_]+(?:at\s+)?)(?<hour>\d{1,2})(?:[:.]?(?<minute>\d{2})(?:[:.]?(?<second>\d{2})"
    r"(?:[.,:](?<fraction>\d{1,12}))?)?)?\s*(?<half>[ap]\.?m\b\.?)?)?"
    r"\s*(?<zone>z|[a-z]{2,5}|[a-z_]+/[a-z_/+-]+\d*)?\s*(?:(?<offset>[+-]\d{1,2}(?::?\d{2}){0,2})(?:\s+[a-z]{2,5})?)?$"
)
EITHER_WAY = r"^\s*\d{1,2}([/-])\d{1,2}[/-](?:\d{4}|\d{2})(?:\D|$)"
DAY_OR_MONTH_FIRST = (
    r"^(?<first>\d{1,2})(?<mark>[./-])\s?(?<second>\d{1,2})[./-]\s?(?<year>\d{4}|\d{2})(?<rest>\D.*)?$"
)


MOMENT = datetime(2020, 9, 16, 12, 30, 15, tzinfo=UTC)
"""What a format must be able to print and read again."""


def scaled(seconds: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=seconds)


def within(value: pl.Series) -> pl.Series:
    """Dates and Datetimes as TIME, null outside of 1970 to 2100; a time with a zone as UTC."""
    if value.dtype == pl.Date:
        value = value.cast(pl.Datetime("us"))
    if not isinstance(value.dtype, pl.Datetime):
        return pl.Series([None], dtype=TIME).new_from_index(0, len(value))
    if value.dtype.time_zone is not None:
        value = value.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    inside = value.is_between(scaled(EARLIEST), scaled(LATEST)).fill_null(False)
    return value.set(~inside, None).cast(TIME)


def fast(text: pl.Series, form: str) -> pl.Series:
    return within(text.str.to_datetime(form, strict=False, time_unit="us"))


def check_format(form: str) -> str:
    """The strptime format as polars writes it; ConfigError unless it reads back what it prints."""
    given, form = form, form.replace(".%f", "%.f")  # Python's sign for what follows the seconds
    try:
        printed = pl.Series([MOMENT]).dt.strftime(form)
        found = printed.str.to_datetime(form, strict=False, time_unit="us")[0]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        found = None
    if found is None or found.date() != MOMENT.date():
        known = ", ".join([*UNITS, "excel"])
        raise ConfigError(
            f"--time-format {given}: expected {known}, or day and time in strptime's signs such as "
            '"%d/%m/%Y %H:%M"'
        )
    return form


def describe(form: str) -> str:
    if form in UNIT_NAMES:
        return f"{UNIT_NAMES[form]} since 1970"
    names = {"excel": "days of a spreadsheet (Excel)", "year": "years"}
    return names.get(form) or "dates, " + form.replace("%Y", "YYYY").replace("%m", "MM").replace(
        "%d", "DD"
    ).replace("%H", "HH").replace("%M", "MM").replace("%S", "SS")


def number_form(whole: pl.Series, real: pl.Series) -> str:
    """What most of the numbers can be, by their size; `seconds` when nothing else fits."""
    kept = real.is_not_null()
    whole, real = whole.filter(kept).head(SAMPLE), real.filter(kept).head(SAMPLE)

    def fits(form: str) -> int:
        value = from_numbers(whole, real, form)
        # .NET's ticks of 1990 to 2100 would be nanoseconds of 1990
        earliest = scaled(EARLY) if form != "ns" else datetime(1991, 1, 1)
        return int(value.is_between(earliest, scaled(LATEST)).sum())

    if fits("%Y%m%d%H") == len(real):  # as seconds they would be of 2033 and later
        return "%Y%m%d%H"
    forms = [*UNITS, "%Y%m%d", "%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m", "year", "excel"]
    counts = {form: fits(form) for form in forms}
    best = max(forms, key=lambda form: counts[form])
    return best if 2 * counts[best] > len(real) else "seconds"


def from_numbers(whole: pl.Series, real: pl.Series, form: str) -> pl.Series:
    """[N] TIME of numbers of one form; null where a number has not this form."""
    if form in UNITS:
        factor = UNITS[form]
        inside = real.is_between(EARLIEST, LATEST * (NANOSECONDS // factor)).fill_null(False)
        exact = whole.set(~inside, None) * factor
        near = real.set(~inside, None)
        # the fraction by itself: a float of nanoseconds since 1970 is only good to 256 of them
        near = near.floor().cast(pl.Int64) * factor + ((near - near.floor()) * factor).round().cast(pl.Int64)
        return within(exact.zip_with(exact.is_not_null(), near).cast(TIME))
    if form == "excel":
        days = real.set(~real.is_between(EXCEL_EPOCH_DAYS, 80_000).fill_null(False), None)
        milliseconds = ((days - EXCEL_EPOCH_DAYS) * 86_400_000).round().cast(pl.Int64)
        return within(milliseconds.cast(pl.Datetime("ms")).cast(TIME))
    text = whole.cast(pl.String)
    digits = 4 if form == "year" else next(n for n, known in DATE_NUMBERS.items() if known == form)
    text = text.set((text.str.len_chars() != digits).fill_null(False), None)
    # a day and minutes are needed to make a time of it
    completed = {"year": "0101", "%Y%m": "01", "%Y%m%d%H": "00"}.get(form, "")
    full = {"year": "%Y%m%d", "%Y%m": "%Y%m%d", "%Y%m%d%H": "%Y%m%d%H%M"}.get(form, form)
    return within((text + completed).str.to_datetime(full, strict=False, time_unit="us"))


def tidy(text: pl.Expr) -> pl.Expr:
    """Lower case, single blanks, named months as numbers, the year first where the month has a name."""
    text = text.str.to_lowercase().str.replace_all(r"[\u200b-\u200f\u2060\ufeff]", "")
    # 2020年9月16日, as East Asian spreadsheets print it
    text = text.str.replace(r"^(\d{4})\s?[年년]\s?(\d{1,2})\s?[月월]\s?(\d{1,2})\s?[日일]", "$1-$2-$3 ")
    # 2020-09-16-12.30.15.000000, as DB2 prints it
    text = text.str.replace(r"^(\d{4}-\d{2}-\d{2})-(\d{2}\.\d{2}\.\d{2})", "$1 $2")
    text = (
        text.str.replace(r"\s*uhr$", "")
        .str.replace_all(r"\s+", " ")
        .str.replace(r"\s*[\[(][^\])]*[\])]$", "")
    )
    day = r"(\d{1,2})(?:st|nd|rd|th)?"
    # Wed, 16 Sep 2020 12:30:00 GMT; 16-Sep-20; 16/Sep/2020:12:30:00; 16SEP2020
    text = text.str.replace(WEEKDAY + day + r"[\s./-]*" + MONTH + r"[\s,./-]*(\d{4})\b(.*)$", "$3-$2-$1$4")
    text = text.str.replace(WEEKDAY + day + r"[\s./-]*" + MONTH + r"[\s,./-]*(\d{2})\b(.*)$", "20$3-$2-$1$4")
    # Sep 16, 2020 12:30 PM
    text = text.str.replace(WEEKDAY + MONTH + r"\s+" + day + r",?\s+(\d{4})\b(.*)$", "$3-$1-$2$4")
    # Wed Sep 16 12:30:00 2020 UTC, as PostgreSQL may print it
    text = text.str.replace(
        WEEKDAY + MONTH + r"\s+" + day + r"\s+" + CLOCK + r"\s+(\d{4})\s+([a-z]{1,5}|[+-]\d{2}.*)$",
        "$4-$1-$2 $3 $5",
    )
    # Wed Sep 16 12:30:00 UTC 2020
    text = text.str.replace(
        WEEKDAY + MONTH + r"\s+" + day + r"\s+" + CLOCK + r"\s*([a-z]{3,4})?\s+(\d{4})$", "$5-$1-$2 $3 $4"
    )
    text = text.str.replace_many(
        [f"-{month}-" for month in MONTHS], [f"-{number:02}-" for number in range(1, 13)]
    )
    text = text.str.replace(r"^(\d{4})(\d{2})(\d{2})([t ]\d)", "$1-$2-$3$4")
    # periods of pandas begin with their first day: 2020Q3, 2020-09-14/2020-09-20
    text = text.str.replace(r"^(\d{4}-\d{2}-\d{2})/\d{4}-\d{2}-\d{2}$", "$1")
    quarters = [(f"q{n}", f"-{3 * n - 2:02}") for n in range(1, 5)]
    for quarter, month in quarters:
        text = text.str.replace(rf"^(\d{{4}}){quarter}$", f"${{1}}{month}")
    return text.str.strip_chars()


def from_iso(text: pl.Series) -> pl.Series:
    """[len(text)] TIME of texts that are FORM."""
    parts = pl.DataFrame([text.alias("text")]).select(pl.col("text").str.extract_groups(FORM)).unnest("text")
    hour, half = pl.col("hour").cast(pl.Int64, strict=False), pl.col("half").str.head(1)
    hour = (
        pl.when(half.is_not_null() & ~hour.is_between(1, 12))
        .then(None)
        .when(half.is_not_null())
        .then(hour % 12 + pl.when(half == "p").then(12).otherwise(0))
        .otherwise(hour.fill_null(0))
    )
    plain = pl.format(
        "{}-{}-{} {}:{}:{}",
        "year",
        "month",
        pl.col("day").fill_null("01"),
        hour,
        pl.col("minute").fill_null("00"),
        pl.col("second").fill_null("00").replace("60", "59"),  # a leap second
    )
    offset = pl.col("offset").str.replace_all(":", "")
    size = offset.str.slice(1)
    hours = pl.when(size.str.len_chars() % 2 == 1).then(size.str.head(1)).otherwise(size.str.head(2))
    rest = size.str.slice(hours.str.len_chars()).str.pad_end(4, "0")
    ahead = (
        hours.cast(pl.Int64) * 3600 + rest.str.head(2).cast(pl.Int64) * 60 + rest.str.slice(2).cast(pl.Int64)
    )
    ahead = pl.when(offset.str.starts_with("-")).then(-ahead).otherwise(ahead).fill_null(0)
    named = pl.col("zone").replace_strict(ABBREVIATIONS, default=None, return_dtype=pl.Int64) * 3600
    known = pl.col("zone").is_null() | named.is_not_null() | pl.col("zone").str.contains("/")
    fraction = pl.col("fraction").str.pad_end(9, "0").str.head(9).cast(pl.Int64).fill_null(0)
    frame = parts.select(
        pl.when(known)
        .then(plain)
        .str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
        .alias("value"),
        pl.duration(seconds=ahead + named.fill_null(0), time_unit="us").alias("ahead"),
        pl.duration(nanoseconds=fraction, time_unit="ns").alias("fraction"),
        pl.when(pl.col("zone").str.contains("/")).then("zone").alias("zone"),
    )
    value = frame["value"]
    for zone in frame["zone"].drop_nulls().unique():
        value = value.zip_with((frame["zone"] != zone).fill_null(True), in_zone(value, zone))
    return within(within(value - frame["ahead"]) + frame["fraction"])


def in_zone(value: pl.Series, zone: str) -> pl.Series:
    """Local times of an IANA zone (any case) as UTC; all null when there is no such zone."""
    known = {name.lower(): name for name in available_timezones()}
    if zone not in known:
        return value.set(value.is_not_null(), None)
    local = value.dt.replace_time_zone(known[zone], ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
