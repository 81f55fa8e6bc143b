"""Strict reading of CSV of any dialect, block by block: every unusable row is counted.

All columns are text, blank fields are null. Rows are numbered from 1 as a spreadsheet does: the header and
blank rows count, and a row whose quoted field holds line breaks is one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv

from unimp.core.errors import DataError
from unimp.core.progress import progress_bar
from unimp.data.dialect import EMPTY, Dialect, check_delimiter, read_dialect
from unimp.data.encodings import (
    UTF8,
    NotUtf8Error,
    Utf8Stream,
    check_encoding,
    detect_encoding,
    first_wrong_line,
)
from unimp.data.files import open_binary, open_with_position
from unimp.data.raw import ROW, BadRows, Rows

MEBIBYTE = 1 << 20
HEADER_BYTES = MEBIBYTE
BLOCK_BYTES = 8 * MEBIBYTE
"""A CSV is read in blocks of this size; a row that is longer makes them larger, up to MAX_ROW_BYTES."""
MAX_ROW_BYTES = 256 * MEBIBYTE


@dataclass(frozen=True)
class CsvLayout:
    """A CSV file and how it is written."""

    path: Path
    encoding: str
    dialect: Dialect
    remedy: str
    """What to do when the encoding is wrong."""

    @property
    def columns(self) -> list[str]:
        return self.dialect.named


def csv_layout(
    path: Path,
    delimiter: str | None = None,
    encoding: str | None = None,
    known: Collection[str] = (),
    *,
    options: bool = True,
) -> CsvLayout:
    """How the CSV at `path` is written; what is not given is found out, see dialect.py.

    `options` says whether the user could give these: other sources than csv have no such options.
    """
    remedy = "give --encoding latin-1, or save it as utf-8" if options else "save it as utf-8"
    mark = check_delimiter(delimiter) if delimiter else None
    chosen = check_encoding(encoding) if encoding else ""
    with open_binary(path) as file:
        start = file.read(HEADER_BYTES)
        chosen = chosen or detect_encoding(start)
        if start[:200].lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise DataError(f"{path}: a web page (HTML), not a table; fetch the file itself")
        if start[257:262] == b"ustar" or start.startswith((b"7z\xbc\xaf", b"Rar!")):
            raise DataError(f"{path}: an archive, not a table; unpack it, and name the table")
        if chosen in UTF8 and b"\0" in start[:4096]:
            raise DataError(f"{path}: a binary file, not a text table; check the path, or give --encoding")
        try:
            text = Utf8Stream(io.BytesIO(start), path, chosen).read(4 * HEADER_BYTES)
        except NotUtf8Error:
            raise not_utf8(path, remedy) from None
        ended = not file.read(1)
    return CsvLayout(path, chosen, read_dialect(path, text, mark, known, ended=ended), remedy)


def not_utf8(path: Path, remedy: str) -> DataError:
    line, word = first_wrong_line(path)
    return DataError(f'{path}:{line}: not utf-8 text: "{word}"; {remedy}')


def csv_chunks(
    layout: CsvLayout, wanted: Sequence[str], bad: BadRows, *, show_progress: bool = False
) -> Iterator[Rows]:
    """The `wanted` columns in blocks of about BLOCK_BYTES, at least one; rows without any value left out.

    Memory: a few blocks, each as long as the longest row at least.
    """
    reader = CsvReader(layout, wanted, bad)
    block, done = BLOCK_BYTES, 0
    while True:
        try:
            for rows in reader.blocks(block, done, show_progress=show_progress):
                done = reader.delivered
                yield rows
            break
        except NotUtf8Error:
            raise not_utf8(layout.path, layout.remedy) from None
        except pa.ArrowInvalid as error:
            if reader.failure is not None:
                raise reader.failure from None
            reason = str(error).splitlines()[0]
            if "straddl" not in reason:
                raise DataError(
                    f"{layout.path}: not a readable table ({reason}); fetch or export it again"
                ) from None
            if block >= MAX_ROW_BYTES:
                raise DataError(
                    f"{layout.path.name}:{done + layout.dialect.header_row + 1}: a row from here on is "
                    f"longer than {MAX_ROW_BYTES // MEBIBYTE} MiB; add the quote that closes its field"
                ) from None
            block *= 4


class CsvReader:
    """Reads one CSV block by block; reading may begin anew with larger blocks and go on where it was."""

    def __init__(self, layout: CsvLayout, wanted: Sequence[str], bad: BadRows) -> None:
        self.layout, self.wanted, self.bad = layout, list(wanted), bad
        self.name = layout.path.name
        self.delivered = 0
        """Number, below the header, of the last row that was handed out or left out."""
        self.reported = 0
        self.skipped: list[int] = []
        self.longer: list[tuple[int, list[str | None]]] = []
        """Rows, by number, whose further fields are blank: they are used."""
        self.failure: DataError | None = None
        """An error that cannot pass through pyarrow."""

    def blocks(self, block: int, done: int, *, show_progress: bool) -> Iterator[Rows]:
        """Rows below the header, from number `done + 1` on."""
        path, dialect = self.layout.path, self.layout.dialect
        self.skipped, self.longer, self.delivered = [], [], 0
        size = max(1, path.stat().st_size // MEBIBYTE)
        last: pl.DataFrame | None = None
        with (
            open_with_position(path) as (file, raw),
            progress_bar(path.name, size, show=show_progress) as bar,
        ):
            stream = Utf8Stream(file, path, self.layout.encoding)
            skip_bytes(stream, dialect.header_bytes)
            start = stream.read(BLOCK_BYTES)
            stream.unread(start)
            empty = True
            for batch in self.parse(stream, block) if start else ():
                numbers = self.numbers(batch.num_rows)
                frame = pl.DataFrame(pl.from_arrow(batch))
                if numbers and numbers[-1] > done:
                    fresh = [number for number in numbers if number > done] if numbers[0] <= done else numbers
                    frame = frame.tail(len(fresh))
                    last = frame.tail(1)
                    empty = False
                    yield self.rows(frame, fresh, done)
                bar.advance(min(size, raw.tell() // MEBIBYTE) - bar.done)
        if last is not None:
            self.reject_open_quote(last)
        if self.longer or (empty and done == 0):
            self.delivered = max([self.delivered, *(number for number, _ in self.longer)])
            yield self.rows(pl.DataFrame(schema=dict.fromkeys(dialect.columns, pl.String())), [], done)

    def parse(self, stream: Utf8Stream, block: int) -> Iterator[pa.RecordBatch]:
        columns = self.layout.dialect.columns
        yield from pyarrow.csv.open_csv(
            stream,
            # one thread: only then are the numbers of bad rows known
            pyarrow.csv.ReadOptions(use_threads=False, column_names=columns, block_size=block),
            pyarrow.csv.ParseOptions(
                delimiter=self.layout.dialect.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,  # they count as rows, like in a spreadsheet
                escape_char="\\" if self.layout.dialect.escape else False,
                invalid_row_handler=self.skip,
            ),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=True, null_values=[""]
            ),
        )

    def skip(self, row: Any) -> str:
        self.skipped.append(row.number)
        if (values := self.without_blanks(row)) is not None:
            self.longer.append((row.number, values))
        elif row.number > self.reported and not EMPTY.fullmatch(row.text):
            text = " ".join(row.text[:60].split())
            problem = (
                f"{self.name}:{row.number + self.layout.dialect.header_row}: row has {row.actual_columns} "
                f'field(s), expected {row.expected_columns}: "{text}"; quote fields that hold separators or '
                "line breaks"
            )
            try:
                self.bad.add(problem, "wrong number of fields")
            except DataError as failure:
                self.failure = failure
                return "error"
        self.reported = max(self.reported, row.number)
        return "skip"

    def without_blanks(self, row: Any) -> list[str | None] | None:
        """The values of a row that has too many fields, all of which are blank; None for another row."""
        if row.actual_columns <= row.expected_columns or EMPTY.fullmatch(row.text):
            return None
        try:
            fields = next(csv.reader([row.text], delimiter=self.layout.dialect.delimiter))
        except csv.Error:
            return None
        more = fields[row.expected_columns :]
        if len(fields) != row.actual_columns or any(field.strip() for field in more):
            return None
        return [field or None for field in fields[: row.expected_columns]]

    def numbers(self, count: int) -> Sequence[int]:
        """Numbers below the header of the next `count` rows, the skipped ones left out."""
        start = self.delivered + 1
        if not self.skipped:
            self.delivered += count
            return range(start, start + count)
        gone, number = set(self.skipped), start
        numbers: list[int] = []
        while len(numbers) < count:
            if number not in gone:
                numbers.append(number)
            number += 1
        self.delivered = number - 1
        self.skipped = [number for number in self.skipped if number > self.delivered]
        return numbers

    def rows(self, frame: pl.DataFrame, numbers: Sequence[int], done: int) -> Rows:
        above = self.layout.dialect.header_row
        numbered = frame.with_columns(pl.Series(ROW, numbers, dtype=pl.Int64) + above)
        if self.longer:
            mine = [(*values, n + above) for n, values in self.longer if done < n <= self.delivered]
            self.longer = [(n, values) for n, values in self.longer if n > self.delivered]
            more = pl.DataFrame(mine, schema=numbered.schema, orient="row")
            numbered = pl.concat([numbered, more]).sort(ROW)
        return Rows(self.name, without_blank_rows(numbered).select(*self.wanted, ROW))

    def reject_open_quote(self, last: pl.DataFrame) -> None:
        """A quote that is never closed swallows all rows to the end of the file into its own."""
        if not any("\n" in value or "\r" in value for value in last.row(0) if value):
            return
        quotes = 0
        with open_binary(self.layout.path) as file:
            stream = Utf8Stream(file, self.layout.path, self.layout.encoding)
            while block := stream.read(MEBIBYTE):
                quotes += block.count(b'"')
        if quotes % 2:
            number = self.delivered + self.layout.dialect.header_row
            raise DataError(f"{self.name}:{number}: a quoted field is never closed; add the missing quote")


def skip_bytes(stream: Utf8Stream, count: int) -> None:
    while count and (data := stream.read(min(count, MEBIBYTE))):
        count -= len(data)


def without_blank_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` without rows where every field is blank; ROW is no field."""
    first = pl.col(frame.columns[0])
    if not frame.select((first.is_null() | (first.str.strip_chars() == "")).any()).item():
        return frame
    fields = pl.exclude(ROW)
    return frame.filter(~pl.all_horizontal(fields.is_null() | (fields.str.strip_chars() == "")))
