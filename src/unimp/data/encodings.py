"""The encoding of a text file: told by its byte order mark or its zero bytes, else UTF-8, checked strictly.

Streams of every encoding are read as UTF-8 from here on. Memory: one buffer, whatever the file's size.
"""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import IO, Any

from unimp.core.errors import ConfigError, DataError
from unimp.data.files import open_binary
from unimp.data.raw import BadRows

MEBIBYTE = 1 << 20
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark begins it
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
UTF8 = {"utf-8", "utf-8-sig", "ascii"}


def check_encoding(name: str) -> str:
    """The name of a text encoding that Python knows; ConfigError for another."""
    try:
        info = codecs.lookup(name)
        "x".encode(name).decode(name)  # refuses codecs of bytes, such as base64
    except (LookupError, UnicodeError, ValueError, TypeError):
        raise ConfigError(
            f"--encoding {name}: no such encoding; known are utf-8, utf-16, latin-1, cp1252, shift-jis, …"
        ) from None
    return info.name


def detect_encoding(start: bytes) -> str:
    """The encoding that the first bytes of a file prove, else UTF-8."""
    for mark, encoding in MARKS.items():
        if start.startswith(mark):
            return encoding
    even, odd = start[0::2], start[1::2]
    if len(odd) >= 2 and odd.count(0) > 0.7 * len(odd) and even.count(0) < 0.1 * len(even):
        return "utf-16-le"
    if len(odd) >= 2 and even.count(0) > 0.7 * len(even) and odd.count(0) < 0.1 * len(odd):
        return "utf-16-be"
    return "utf-8"


def traditional_encoding(path: Path, tradition: str, bad: BadRows) -> str:
    """UTF-8 when the whole file is UTF-8, else `tradition`, in which its layout was published; noted."""
    with open_binary(path) as file:
        start = file.read(4096)
        found = detect_encoding(start)
        if found != "utf-8":
            return found
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while start:
                decoder.decode(start)
                start = file.read(MEBIBYTE)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            bad.note(f"{path.name} is not UTF-8 and was read as {tradition}")
            return tradition
    return "utf-8"


class NotUtf8Error(Exception):
    """A stream that should be UTF-8 is not."""


class Utf8Stream(io.RawIOBase):
    """The text of `file` in UTF-8, without a byte order mark.

    Every encoding is checked strictly: NotUtf8Error where UTF-8 ends, DataError for another. Bytes may be put
    back at the front with `unread`.
    """

    def __init__(self, file: IO[bytes], path: Path, encoding: str) -> None:
        self._file, self._path, self._encoding = file, path, encoding
        self._checker = codecs.getincrementaldecoder("utf-8")()
        self._decoder: Any = None
        if codecs.lookup(encoding).name not in UTF8:
            self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""
        self._ended = False
        self._offset = 0

    def readable(self) -> bool:
        return True

    def unread(self, data: bytes) -> None:
        self._ready = data + self._ready

    def read(self, size: int | None = -1) -> bytes:
        wanted = MEBIBYTE if size is None or size < 0 else size
        while not self._ready and not self._ended:
            self._ready = self._next(max(wanted, 4096))
        data, self._ready = self._ready[:wanted], self._ready[wanted:]
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        data = self._file.read(size)
        self._ended = not data
        if self._decoder is None:
            if self._offset == 0 and data.startswith(codecs.BOM_UTF8):
                data = data[len(codecs.BOM_UTF8) :]
            self._offset += len(data)
            try:
                self._checker.decode(data, self._ended)
            except UnicodeDecodeError:
                raise NotUtf8Error from None
            return data
        try:
            text = self._decoder.decode(data, self._ended)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self._path}: not {self._encoding} text ({error.reason}); give another --encoding"
            ) from None
        except UnicodeError as error:  # UTF-16 that begins with no byte order mark
            raise DataError(f"{self._path}: not {self._encoding} text ({error})") from None
        if self._offset == 0:
            text = text.removeprefix("\ufeff")
        self._offset += len(text)
        return str(text).encode("utf-8", "surrogatepass")


def first_wrong_line(path: Path) -> tuple[int, str]:
    """The line of a file where UTF-8 ends, and the words around that byte, `\\xNN` for what is no UTF-8."""
    line, before, tail = 1, b"", b""
    breaks: bytes | None = None
    with open_binary(path) as file:
        while True:
            block = file.read(MEBIBYTE)
            data = tail + block
            breaks = breaks or (b"\n" if b"\n" in data else b"\r")
            good = valid_length(data)
            right, tail = data[:good], data[good:]
            line += right.count(breaks)
            before = (before + right)[-12:]
            # the last bytes of a block may be the beginning of a character
            if len(tail) > 3 or not block:
                word = before.split(breaks)[-1] + tail[:8].split(breaks)[0]
                shown = "".join(
                    sign for sign in word.decode("utf-8", "backslashreplace") if sign.isprintable()
                )
                return line, shown.strip()


def valid_length(data: bytes) -> int:
    """How many bytes at the start of `data` are UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return len(data)
