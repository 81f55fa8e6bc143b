"""How a text table is written: where its header is, what parts its fields, which columns have a name.

All of it is read off the first MiB. What is not certain is not guessed: the message names the option.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from unimp.core.errors import ConfigError, DataError

DELIMITERS = (",", ";", "\t", "|")
NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
SAMPLED = 50
"""Rows under the header that are looked at."""
EMPTY = re.compile(r'[\s,;|"\x1a]*')
"""A row without a value; old programs end a file with \\x1a."""
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""What Excel writes above the header."""
UNNAMED = "\ufdd0"
"""Begins the name of a column that has none: a sign that no text may hold."""
TITLE_ROWS = 20
"""Rows above the header that may hold a title or a comment."""
ESCAPED_QUOTE = re.compile(r'\\"(?=[^,;\t|\r\n"])')
"""Within a quoted field, where a quote must else be doubled: the file writes quotes as databases do."""


@dataclass(frozen=True)
class Dialect:
    """How one file is written."""

    delimiter: str
    columns: tuple[str, ...]
    """One name per field; an unnamed column has UNNAMED and its number."""
    header_row: int
    """Number of the header's row, counting all rows of the file from 1."""
    header_bytes: int
    """Bytes (UTF-8) up to the first row of values."""
    escape: bool = False
    """Whether a backslash stands before a quote that ends no field."""
    titles: int = 0
    """Rows above the header that say something, and are left out."""

    @property
    def named(self) -> list[str]:
        return [name for name in self.columns if not name.startswith(UNNAMED)]


def read_dialect(
    path: Path, start: bytes, delimiter: str | None, known: Collection[str], *, ended: bool
) -> Dialect:
    """The dialect of the file that begins with `start`, in UTF-8; `ended` when that is the whole of it.

    `known` are names of columns that help to tell delimiters apart.
    """
    text = start.decode("utf-8", "surrogateescape")
    escape = "\\N" not in text and ESCAPED_QUOTE.search(text) is not None
    records = split_records(text, SAMPLED + 100, delimiter, whole=ended, escape=escape)
    row = titles = 0
    while row < len(records) and EMPTY.fullmatch(records[row]):
        row += 1
    if row < len(records) and (announced := SEPARATOR_LINE.fullmatch(records[row])):
        delimiter = delimiter or announced[1]
        row += 1
    else:
        titles = title_rows(records[row:], delimiter, known)
        row += titles
    if row == len(records):
        if not ended:
            raise DataError(f"{path}: no row ends within the first {len(start):,} bytes; check the file")
        raise DataError(f"{path}: empty file; the first row must name the columns")
    header, sample = records[row], [r for r in records[row + 1 :][:SAMPLED] if not EMPTY.fullmatch(r)]
    chosen = delimiter or find_delimiter(path, header, sample, known)
    names = [" ".join(name.strip("\ufeff").split()) for name in parse_record(path, header, chosen)]
    if any("\0" in name for name in names):
        raise DataError(f"{path}:{row + 1}: the header has zero bytes; check the file, or its --encoding")
    names = with_trailing(names, [parse_record(path, record, chosen) for record in sample])
    columns = tuple(name or f"{UNNAMED}{number}" for number, name in enumerate(names, start=1))
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise DataError(f'{path}:{row + 1}: column "{repeated[0]}" occurs twice; rename one of them')
    size = len("".join(records[: row + 1]).encode("utf-8", "surrogateescape"))
    return Dialect(chosen, columns, row + 1, size, escape, titles)


def title_rows(records: Sequence[str], delimiter: str | None, known: Collection[str]) -> int:
    """How many rows of one field stand above a header that has names of `known`; 0 where none is sure."""
    marks = (delimiter,) if delimiter else DELIMITERS

    def is_header(record: str) -> bool:
        parts = [names for mark in marks if len(names := record.strip("\r\n").split(mark)) > 1]
        return any(name.strip(' "\ufeff') in known for names in parts for name in names)

    for count, record in enumerate(records[:TITLE_ROWS]):
        if is_header(record):
            return count
        is_text = EMPTY.fullmatch(record) or record.startswith("#")
        if not is_text and any(fields(record, mark) > 1 for mark in marks):
            return 0
    return 0


def split_records(
    text: str, most: int, delimiter: str | None = None, *, whole: bool, escape: bool = False
) -> list[str]:
    """The first `most` records with their line breaks; breaks within quotes part none.

    A quote opens a field only where one begins. Unless `text` is the `whole` file, its last record is left
    out, since it may go on.
    """
    records, begin, quoted, closed = [], 0, False, -2
    before = f"{delimiter or ''}{''.join(DELIMITERS)}\r\n\ufeff"
    for mark in re.finditer(r'\\.|"|\r\n|\n|\r' if escape else r'"|\r\n|\n|\r', text):
        if mark[0][0] == "\\":
            continue
        if mark[0] == '"':
            at = mark.start()
            closed = at if quoted else closed  # "" is a quote within the field, which goes on
            quoted = not quoted and (at == 0 or text[at - 1] in before or at - 1 == closed)
        elif not quoted:
            records.append(text[begin : mark.end()])
            begin = mark.end()
            if len(records) == most:
                return records
    if whole and begin < len(text):
        records.append(text[begin:])
    return records


def parse_record(path: Path, record: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([record.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error as error:
        reason = str(error).split("(")[0].strip()
        raise DataError(f"{path}: the header cannot be read ({reason}); check the file") from None


def fields(record: str, delimiter: str) -> int:
    """How many fields a record has; 0 where it is no record."""
    try:
        return len(next(csv.reader([record.rstrip("\r\n")], delimiter=delimiter), []))
    except csv.Error:
        return 0


def find_delimiter(path: Path, header: str, sample: Sequence[str], known: Collection[str]) -> str:
    """The one delimiter that parts the header; of several, the one that parts all rows alike."""
    parting = [mark for mark in DELIMITERS if fields(header, mark) > 1]
    if len(parting) <= 1:
        return parting[0] if parting else ","
    even = [
        mark
        for mark in parting
        if sample and all(fields(record, mark) == fields(header, mark) for record in sample)
    ]
    if len(even) == 1:
        return even[0]

    def familiar(mark: str) -> int:
        return sum(name.strip() in known for name in parse_record(path, header, mark))

    ranked = sorted(even or parting, key=familiar, reverse=True)
    if familiar(ranked[0]) > familiar(ranked[1]):
        return ranked[0]
    options = " or ".join(NAMES[mark] for mark in ranked)
    raise ConfigError(f"{path}: fields could be parted by {options}; say which with --delimiter")


def check_delimiter(text: str) -> str:
    """The delimiter that an option names; `tab` and `\\t` are a tab."""
    mark = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}.get(
        text, text
    )
    if len(mark) != 1 or not mark.isascii() or mark in '"\r\n\0':
        raise ConfigError(f"--delimiter {text!r}: expected one character, or tab")
    return mark


def with_trailing(names: list[str], sample: Sequence[list[str]]) -> list[str]:
    """One unnamed column more where every row ends with a delimiter that the header lacks, or one less."""
    if not names[-1] and sample and all(len(row) == len(names) - 1 for row in sample):
        return names[:-1]
    longer = [row for row in sample if len(row) == len(names) + 1 and not row[-1].strip()]
    return [*names, ""] if sample and len(longer) == len(sample) else names
