"""One JSON list as a stream of its elements: `[{…}, {…}]`; and the keys of JSON tables.

Memory: one block and one element, whatever the file's size.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from unimp.core.errors import DataError
from unimp.data.files import open_binary

BLOCK = 1 << 20
LONGEST = 256 << 20
"""Characters of an element at most."""
SAMPLE = 1000
"""Objects whose keys are the columns of a JSON table."""
LINE = 1 << 26
BETWEEN = re.compile(r"[\s,]*")
OBJECT = re.compile(rb"\s*(?:\[\s*)?\{\s*\"")
OVER_LINES = re.compile(rb"\{\s*\n|\{[^\n{}]*\}[ \t]*\{")
"""A first object that does not fill its line alone: jq and databases write several one after another."""


def is_json_list(path: Path) -> bool:
    """Whether the file is read element by element: `[` opens it, or an object takes several lines."""
    with open_binary(path) as file:
        start = file.read(4096).removeprefix(codecs.BOM_UTF8).lstrip()
    return start[:1] == b"[" or OVER_LINES.match(start) is not None


def begins_like_json(path: Path) -> bool:
    """Whether the file holds JSON objects, whatever it is called."""
    with open_binary(path) as file:
        return OBJECT.match(file.read(4096).removeprefix(codecs.BOM_UTF8)) is not None


def list_elements(path: Path, file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """Number, from 1, and value of every element; DataError where the list is broken or never closed.

    Without an opening bracket the values stand one after another to the end of the file.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    scan = json.JSONDecoder().raw_decode
    text, at, number, ended = "", 0, 0, False
    begun = bare = False
    while True:
        at = BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        if at < len(text) and not begun:
            begun, bare = True, text[at] != "["
            at += not bare
            continue
        if (at < len(text) and text[at] == "]") or (bare and ended and at == len(text)):
            return
        problem = "it is never closed"
        if at < len(text):
            try:
                value, end = scan(text, at)
            except (ValueError, RecursionError) as error:
                problem = f"element {number + 1} is malformed ({str(error).split(':')[0]})"
            else:
                if end < len(text) or ended:
                    number, at = number + 1, end
                    yield number, value
                    continue
        if ended or len(text) - at > LONGEST:
            raise DataError(f"{path}: not a readable JSON list: {problem}; write or fetch it again")
        block = file.read(max(BLOCK, len(text) - at))
        ended = not block
        try:
            text, at = text[at:] + decoder.decode(block, ended), 0
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not utf-8 text ({error.reason}); save it as utf-8") from None


def json_keys(path: Path) -> tuple[str, ...]:
    """The keys of the first lines, or of the first elements of a list, in order of appearance."""
    keys: dict[str, None] = {}
    listed = is_json_list(path)
    first: Any = None
    with open_binary(path) as file:
        records = (value for _, value in list_elements(path, file)) if listed else parsed_lines(file)
        for record in islice(records, SAMPLE):
            if isinstance(record, dict):
                keys |= dict.fromkeys(record)
                first = record if first is None else {}
    if first:
        within = next((key for key, value in first.items() if is_table(value)), None)
        if within is not None:
            raise DataError(
                f'{path}: one JSON object, whose "{within}" is the list; write that list alone '
                f"(`jq '.[\"{within}\"]' FILE`)"
            )
        if all(isinstance(value, dict | list) for value in first.values()):
            raise DataError(
                f"{path}: one JSON object with the columns or rows in it; write a list of objects instead "
                '(pandas: `to_json(orient="records", lines=True)`)'
            )
    if not keys:
        what = "element of the list" if listed else "line"
        raise DataError(f"{path}: no {what} is a JSON object; expected a list of objects, or one a line")
    return tuple(keys)


def parsed_lines(file: IO[bytes]) -> Iterator[Any]:
    """The values of the lines that are JSON."""
    for line in iter(lambda: file.readline(LINE), b""):
        try:
            yield json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            continue


def is_table(value: Any) -> bool:
    """Whether a value is a list of objects, more than one."""
    return isinstance(value, list) and len(value) > 1 and all(isinstance(part, dict) for part in value)
