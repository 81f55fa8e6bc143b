"""One JSON list as a stream of its elements: `[{…}, {…}]`, on one line or on many.

Memory: one block and one element, whatever the file's size.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from unimp.core.errors import DataError
from unimp.data.files import open_binary

BLOCK = 1 << 20
LONGEST = 256 << 20
"""Characters of an element at most."""
BETWEEN = re.compile(r"[\s,]*")


def is_json_list(path: Path) -> bool:
    """Whether the file begins with `[`, blanks aside."""
    with open_binary(path) as file:
        return file.read(4096).removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"["


def list_elements(path: Path, file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """Number, from 1, and value of every element; DataError where the list is broken or never closed."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    scan = json.JSONDecoder().raw_decode
    text, at, number, ended = "", 0, 0, False
    begun = False
    while True:
        at = BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        if at < len(text) and not begun:
            begun, at = True, at + 1  # the opening bracket
            continue
        if at < len(text) and text[at] == "]":
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
