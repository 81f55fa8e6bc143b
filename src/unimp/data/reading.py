"""Strict reading of CSV, JSON lines and delimited lines, plain or gzip: every unusable row is counted.

All readers return text columns with blank fields as null; values.py turns them into times and numbers. Rows
are numbered from 1, the header included and the blank lines of a CSV left out.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow as pa
import pyarrow.csv

from unimp.core.errors import DataError, did_you_mean
from unimp.core.progress import progress_bar
from unimp.data.raw import ROW, BadRows, Rows

MEBIBYTE = 1 << 20


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a plain or gzip file; every way it can be unreadable is one DataError."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


@contextmanager
def reading_errors(path: Path, encoding: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not {encoding} text ({error.reason}); save it as {encoding}") from None
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        remedy = f"; save it as {encoding}" if "UTF8" in reason else "; fetch or export it again"
        raise DataError(f"{path}: not a readable table ({reason}){remedy}") from None


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[IO[str]]:
    """The text of a plain or gzip file, line breaks as they are; a byte order mark is skipped."""
    with open_binary(path) as file, reading_errors(path, encoding):
        text = io.TextIOWrapper(file, "utf-8-sig" if encoding == "utf-8" else encoding, newline="")
        try:
            yield text
        finally:
            text.detach()


def csv_header(path: Path, separator: str, encoding: str) -> list[str]:
    """The column names in the first row."""
    with open_text(path, encoding) as text:
        names = next(csv.reader(text, delimiter=separator), [])
    if not names:
        raise DataError(f"{path}: empty file; the first row must name the columns")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f'{path}:1: column "{repeated[0]}" occurs twice; rename one of them')
    return names


def require_columns(path: Path, present: Sequence[str], required: Sequence[str]) -> None:
    for name in required:
        if name not in present:
            raise DataError(f'{path}: has no column "{name}"{did_you_mean(name, present)}')


def read_csv(
    path: Path,
    bad: BadRows,
    *,
    required: Sequence[str] = (),
    optional: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    separator: str = ",",
    encoding: str = "utf-8",
) -> Rows:
    """The `required` columns and those of `optional` that exist (None: all), as text.

    `names` are the columns of a file without a header row.
    """
    header = list(names) if names is not None else csv_header(path, separator, encoding)
    require_columns(path, header, required)
    wanted = header if optional is None else [n for n in header if n in required or n in optional]
    skipped: list[tuple[int, int, str]] = []

    def skip(row: Any) -> str:
        skipped.append((row.number, row.actual_columns, row.text[:60]))
        return "skip"

    with open_binary(path) as file, reading_errors(path, encoding):
        table = pyarrow.csv.read_csv(
            file,
            # one thread: only then are the numbers of bad rows known
            pyarrow.csv.ReadOptions(use_threads=False, encoding=encoding, column_names=names),
            pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=skip),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                include_columns=wanted,
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
    for number, fields, text in skipped:
        bad.add(
            f'{path.name}:{number}: row has {fields} field(s), expected {len(header)}: "{text}"; '
            "quote fields that hold separators or line breaks"
        )
    first = 1 if names is not None else 2
    frame = pl.DataFrame(pl.from_arrow(table)).with_columns(
        pl.Series(ROW, row_numbers(table.num_rows, first, [number for number, _, _ in skipped]))
    )
    reject_open_quote(path, frame)
    return Rows(path.name, frame)


def row_numbers(count: int, first: int, skipped: list[int]) -> list[int] | range:
    """The file's numbers of `count` rows that start at `first`, the `skipped` ones left out."""
    if not skipped:
        return range(first, first + count)
    gone = set(skipped)
    return [row for row in range(first, first + count + len(skipped)) if row not in gone]


def reject_open_quote(path: Path, frame: pl.DataFrame) -> None:
    """A quote that is never closed swallows all rows to the end of the file into its own."""
    last = frame.tail(1)
    if not any("\n" in value for value in last.drop(ROW).row(0) if value) if last.height else True:
        return
    quotes = 0
    with open_binary(path) as file:
        while block := file.read(MEBIBYTE):
            quotes += block.count(b'"')
    if quotes % 2:
        raise DataError(f"{path.name}:{last[ROW][0]}: a quoted field is never closed; add the missing quote")


def read_fields(
    path: Path, bad: BadRows, names: Sequence[str], separator: str, *, encoding: str = "utf-8"
) -> Rows:
    """A file without header or quotes, its fields parted by `separator`, which may be several characters."""
    columns: list[list[str]] = [[] for _ in names]
    numbers: list[int] = []
    with open_text(path, encoding) as lines:
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\r\n")
            fields = text.split(separator)
            if len(fields) != len(names):
                if text:
                    bad.add(
                        f"{path.name}:{number}: row has {len(fields)} field(s), expected {len(names)} "
                        f'parted by "{separator}": "{text[:60]}"; mend or delete the row'
                    )
                continue
            numbers.append(number)
            for column, value in zip(columns, fields, strict=True):
                column.append(value)
    frame = pl.DataFrame(dict(zip(names, columns, strict=True)), schema=dict.fromkeys(names, pl.String()))
    blank_to_null = [pl.when(pl.col(name) != "").then(pl.col(name)) for name in names]
    return Rows(path.name, frame.with_columns(*blank_to_null, pl.Series(ROW, numbers, dtype=pl.Int64)))


def parse_json(line: str) -> Any:
    return json.loads(line)


def read_json_lines(
    path: Path,
    bad: BadRows,
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]],
    schema: Mapping[str, pl.DataType],
    *,
    parse: Callable[[str], Any] = parse_json,
    show_progress: bool = False,
) -> Rows:
    """One object a line; `pick` takes what is wanted of it, in the order of `schema`.

    A line that `parse` or `pick` refuses (ValueError, SyntaxError, KeyError, TypeError) is a bad row.
    """
    columns: list[list[Any]] = [[] for _ in schema]
    numbers: list[int] = []
    size = max(1, path.stat().st_size // MEBIBYTE) if path.exists() else 1
    with open_binary(path) as file, progress_bar(path.name, size, show=show_progress) as bar:
        # progress in MiB of the file as it lies on disk, compressed or not
        raw = file.fileobj if isinstance(file, gzip.GzipFile) else file
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                values = pick(parse(line.decode("utf-8")))
            except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
                bad.add(describe_bad_line(path.name, number, line, error))
                continue
            numbers.append(number)
            for column, value in zip(columns, values, strict=True):
                column.append(value)
            if number % 4096 == 0:
                bar.advance(min(size, raw.tell() // MEBIBYTE) - bar.done)
    frame = pl.DataFrame(dict(zip(schema, columns, strict=True)), schema=dict(schema), strict=False)
    return Rows(path.name, frame.with_columns(pl.Series(ROW, numbers, dtype=pl.Int64)))


def describe_bad_line(file: str, number: int, line: bytes, error: Exception) -> str:
    if isinstance(error, KeyError):
        return f'{file}:{number}: has no field "{error.args[0]}"; mend or delete the line'
    start = line[:60].decode("utf-8", "replace").rstrip()
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f'{file}:{number}: malformed line ({reason}): "{start}"; mend or delete it'
