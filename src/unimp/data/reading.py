"""Strict reading of CSV, JSON lines and delimited lines, packed or not: every unusable row is counted.

All readers return text columns with blank fields as null; values.py and times.py turn them into numbers and
times. Rows are numbered from 1, the header included.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import IO, Any, ParamSpec

import polars as pl

from unimp.core.errors import DataError, did_you_mean
from unimp.core.progress import progress_bar
from unimp.data.csv_reading import BLOCK_BYTES, MAX_ROW_BYTES, MEBIBYTE, csv_chunks, csv_layout
from unimp.data.encodings import traditional_encoding
from unimp.data.files import first_bytes, open_binary, open_with_position
from unimp.data.json_lists import is_json_list, list_elements
from unimp.data.raw import ROW, BadRows, Rows

Given = ParamSpec("Given")
JSON_BYTES = 32 * MEBIBYTE
"""Of JSON, what becomes one frame at most."""


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[IO[str]]:
    """The text of a file, unpacked, line breaks as they are; a byte order mark is skipped."""
    with open_binary(path) as file:
        text = io.TextIOWrapper(file, "utf-8-sig" if encoding == "utf-8" else encoding, newline="")
        try:
            yield text
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not {encoding} text ({error.reason}); save it as {encoding}") from None
        finally:
            text.detach()


def in_one(stream: Callable[Given, Iterator[Rows]]) -> Callable[Given, Rows]:
    """A function like `stream` that gives all parts as one table."""

    @wraps(stream)
    def read(*args: Given.args, **kwargs: Given.kwargs) -> Rows:
        parts = list(stream(*args, **kwargs))
        return Rows(parts[0].file, pl.concat([rows.frame for rows in parts], rechunk=True))

    return read


def require_columns(path: Path, present: Sequence[str], required: Sequence[str]) -> None:
    for name in required:
        if name not in present:
            raise DataError(f'{path}: has no column "{name}"{did_you_mean(name, present)}')


def stream_csv(
    path: Path,
    bad: BadRows,
    *,
    required: Sequence[str] = (),
    optional: Sequence[str] | None = None,
    separator: str | None = ",",
    encoding: str | None = None,
    show_progress: bool = False,
) -> Iterator[Rows]:
    """The `required` columns and those of `optional` that exist (None: all that have a name), as text.

    `separator` None is found out. Memory: a few blocks, see `csv_chunks`; the header is checked at once.
    """
    layout = csv_layout(path, separator, encoding, (*required, *(optional or ())), options=False)
    require_columns(path, layout.columns, required)
    wanted = layout.columns
    if optional is not None:
        wanted = [name for name in wanted if name in required or name in optional]
    return csv_chunks(layout, wanted, bad, show_progress=show_progress)


def stream_fields(
    path: Path,
    bad: BadRows,
    names: Sequence[str],
    separator: str,
    *,
    encoding: str = "utf-8",
) -> Iterator[Rows]:
    """A file without header or quotes, its fields parted by `separator`, which may be several characters.

    `encoding` is the one of the published files; a file that is UTF-8 throughout is read as such. Memory: one
    frame of about BLOCK_BYTES.
    """
    found = traditional_encoding(path, encoding, bad)
    columns: list[list[str]] = [[] for _ in names]
    numbers: list[int] = []
    size = 0

    def frame() -> Rows:
        texts = pl.DataFrame(dict(zip(names, columns, strict=True)), schema=dict.fromkeys(names, pl.String()))
        blank_to_null = [pl.when(pl.col(name) != "").then(pl.col(name)) for name in names]
        return Rows(path.name, texts.with_columns(*blank_to_null, pl.Series(ROW, numbers, dtype=pl.Int64)))

    with open_text(path, found) as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_ROW_BYTES), ""), start=1):
            if len(line) == MAX_ROW_BYTES:
                raise too_long(path, number, f'fields parted by "{separator}"')
            text = line.rstrip("\r\n")
            fields = text.split(separator)
            if len(fields) != len(names):
                if text:
                    bad.add(
                        f"{path.name}:{number}: row has {len(fields)} field(s), expected {len(names)} "
                        f'parted by "{separator}": "{text[:60]}"; mend or delete the row',
                        "wrong number of fields",
                    )
                continue
            numbers.append(number)
            for column, value in zip(columns, fields, strict=True):
                column.append(value)
            size += len(text)
            if size > BLOCK_BYTES:
                yield frame()
                columns, numbers, size = [[] for _ in names], [], 0
    yield frame()


def parse_json(line: str) -> Any:
    return json.loads(line)


def json_chunks(
    path: Path,
    bad: BadRows,
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]],
    schema: Mapping[str, pl.DataType],
    *,
    parse: Callable[[str], Any] = parse_json,
    show_progress: bool = False,
    lines: int = 1 << 16,
) -> Iterator[Rows]:
    """One object a line, in frames of `lines` rows or about JSON_BYTES at most, at least one.

    `pick` takes what is wanted of an object, in the order of `schema`. A line that `parse` or `pick` refuses
    (ValueError, SyntaxError, KeyError, TypeError) is a bad row. A JSON list, or objects over several lines,
    are read element by element, and these are counted. Memory: one frame, or the longest line.
    """
    columns: list[list[Any]] = [[] for _ in schema]
    numbers: list[int] = []
    begun = 0
    """Position in the unpacked file where the frame begins."""

    def frame() -> Rows:
        table = pl.DataFrame(dict(zip(schema, columns, strict=True)), schema=dict(schema), strict=False)
        return Rows(path.name, table.with_columns(pl.Series(ROW, numbers, dtype=pl.Int64)))

    first_bytes(path)  # says that there is no such file before its size is asked
    size = max(1, path.stat().st_size // MEBIBYTE)
    listed = is_json_list(path)
    # progress in MiB of the file as it lies on disk, packed or not
    with open_with_position(path) as (file, raw), progress_bar(path.name, size, show=show_progress) as bar:
        records: Iterator[tuple[int, Any]] = (list_elements if listed else numbered_lines)(path, file)
        for number, line in records:
            try:
                if listed:
                    values = pick(line)
                else:
                    values = pick(parse(line.decode("utf-8-sig" if number == 1 else "utf-8")))
            except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
                bad.add(describe_bad_line(path.name, number, line, error), "malformed line")
                continue
            numbers.append(number)
            for column, value in zip(columns, values, strict=True):
                column.append(value)
            if number % 4096 == 0:
                bar.advance(min(size, raw.tell() // MEBIBYTE) - bar.done)
            if len(numbers) == lines or file.tell() - begun > JSON_BYTES:
                yield frame()
                columns, numbers, begun = [[] for _ in schema], [], file.tell()
        yield frame()


read_csv, read_fields, read_json_lines = in_one(stream_csv), in_one(stream_fields), in_one(json_chunks)


def numbered_lines(path: Path, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, each with its number from 1."""
    for number, line in enumerate(iter(lambda: file.readline(MAX_ROW_BYTES), b""), start=1):
        if len(line) == MAX_ROW_BYTES:
            raise too_long(path, number, "one object a line")
        if line.strip():
            yield number, line


def too_long(path: Path, number: int, expected: str) -> DataError:
    size = MAX_ROW_BYTES // MEBIBYTE
    return DataError(f"{path.name}:{number}: a line is longer than {size} MiB; expected {expected}")


def describe_bad_line(file: str, number: int, line: Any, error: Exception) -> str:
    if isinstance(error, KeyError):
        return f'{file}:{number}: has no field "{error.args[0]}"; mend or delete the line'
    text = line[:60].decode("utf-8", "replace") if isinstance(line, bytes) else json.dumps(line)[:60]
    start = text.rstrip()
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f'{file}:{number}: malformed line ({reason}): "{start}"; mend or delete it'
