"""Opening a file of any packing: plain, gzip, zstd, bzip2, xz, or the one table in a zip archive.

The packing is read off the first bytes, not off the name. Workbooks are refused with what to do instead.
Memory: one buffer, whatever the file's size.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from unimp.core.errors import DataError

GZIP, ZSTD, ZIP, BZIP2, XZ = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"BZh", b"\xfd7zXZ\x00"
OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
PARQUET, ARROW, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers")
SAVE_AS_CSV = "open it and save each sheet as CSV (UTF-8), or read it with pandas and use unimp.import_tables"
BUFFER = 1 << 20


class Unpacked(io.RawIOBase):
    """A stream that only has `read`, as a raw file that the io module can buffer and split into lines."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._position = 0

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def first_bytes(path: Path, size: int = 16) -> bytes:
    """How the file begins; DataError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked; every way it can be unreadable is one DataError."""
    with open_with_position(path) as (file, _):
        yield file


@contextmanager
def open_with_position(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The unpacked bytes, and the file on disk, whose position says how far reading has come."""
    start = first_bytes(path)
    packing = name_packing(path, start)
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(path.open("rb"))
            yield unpack(path, raw, start, stack), raw
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged {packing} file ({error}); fetch it again") from None
    except NotImplementedError as error:  # an unknown method of compression in a zip archive
        raise DataError(
            f"{path}: {packing} file that cannot be unpacked ({error}); unpack it first"
        ) from None
    except OSError as error:
        if packing:
            raise DataError(f"{path}: damaged {packing} file ({error}); fetch it again") from None
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except RuntimeError as error:
        if "password" not in str(error):
            raise
        raise DataError(f"{path}: the zip archive has a password; unpack it first") from None


def name_packing(path: Path, start: bytes) -> str:
    names = {GZIP: "gzip", ZSTD: "zstd", ZIP: "zip", BZIP2: "bzip2", XZ: "xz"}
    found = next((name for magic, name in names.items() if start.startswith(magic)), "")
    return found or {".gz": "gzip", ".zst": "zstd", ".zip": "zip"}.get(path.suffix, "")


def unpack(path: Path, raw: IO[bytes], start: bytes, stack: ExitStack) -> IO[bytes]:
    """`raw` as the table's bytes; `stack` closes what was opened for it."""
    if start.startswith(GZIP) or (path.suffix == ".gz" and start):
        return cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw)))
    if start.startswith(ZSTD):
        stream = stack.enter_context(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))
        return io.BufferedReader(Unpacked(stream), BUFFER)
    if start.startswith(BZIP2):
        return cast(IO[bytes], stack.enter_context(bz2.BZ2File(raw)))
    if start.startswith(XZ):
        return cast(IO[bytes], stack.enter_context(lzma.LZMAFile(raw)))
    if start.startswith(OLD_EXCEL) or (path.suffix.lower() in WORKBOOKS and not is_text(start)):
        raise DataError(f"{path}: a workbook (Excel), not a text table; {SAVE_AS_CSV}")
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return stack.enter_context(open_member(path, raw))
    return raw


def is_text(start: bytes) -> bool:
    """Whether a file called like a workbook begins like a text table, as many shops' `.xls` do."""
    marked = start.startswith((b"\xff\xfe", b"\xfe\xff"))  # UTF-16
    return marked or (not start.lstrip().startswith(b"<") and min(start, default=0) >= ord("\t"))


def open_member(path: Path, raw: IO[bytes]) -> IO[bytes]:
    """The only table in a zip archive."""
    try:
        archive = zipfile.ZipFile(raw)
    except zipfile.BadZipFile:
        raise DataError(
            f"{path}: begins like a workbook (Excel) or a zip archive, but cannot be opened; "
            "fetch it again, or save the sheet as CSV (UTF-8)"
        ) from None
    names = members(archive)
    if any(name.startswith(("xl/", "Index/")) or name == "content.xml" for name in names):
        raise DataError(f"{path}: a workbook (Excel), not a text table; {SAVE_AS_CSV}")
    tables = visible(names)
    if len(tables) != 1:
        listed = ", ".join(tables[:5]) or "nothing"
        raise DataError(
            f"{path}: the archive holds {len(tables)} files ({listed}), expected one table; unpack it, "
            "and name the table"
        )
    return archive.open(tables[0])


def members(archive: zipfile.ZipFile) -> list[str]:
    return [name for name in archive.namelist() if not name.endswith("/")]


def visible(names: Iterable[str]) -> list[str]:
    """The names without what macOS adds."""
    return [name for name in names if not name.startswith("__MACOSX/") and "/." not in f"/{name}"]


def only_member(path: Path) -> str:
    """The name of the one file in a zip archive; empty when there is none, several, or no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = visible(members(archive))
    except (OSError, zipfile.BadZipFile):
        return ""
    return found[0] if len(found) == 1 else ""
