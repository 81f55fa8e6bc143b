"""Pictures are referenced, not copied: read in place from a folder or a zip archive."""

from __future__ import annotations

import io
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from unimp.core.errors import DataError

MAX_PIXELS = 50_000_000
"""A picture with more pixels than this is refused before it is decoded."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that Pillow decodes by itself: others may start a program (PostScript) on a stranger's file."""
HEADER_LOCK = threading.Lock()

PixelArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PictureSource:
    """A folder, or a zip archive, whose members are named by the catalogue's `picture` references."""

    path: Path

    def names(self) -> set[str]:
        """Every reference that can be read."""
        if self.path.is_dir():
            return {file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file()}
        with self._archive() as archive:
            return {name for name in archive.namelist() if not name.endswith("/")}

    def missing(self, references: Iterable[str]) -> set[str]:
        """Those of `references` that cannot be read; a folder is not listed for it."""
        if not self.path.is_dir():
            return set(references) - self.names()
        return {reference for reference in references if not self._inside(reference)}

    def read(self, references: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Bytes of each picture, in order; the archive is opened once."""
        if self.path.is_dir():
            for reference in references:
                file = self.path / reference
                if not file.resolve().is_relative_to(self.path.resolve()):
                    raise DataError(f"{self.path}: picture {reference!r} lies outside the folder")
                try:
                    yield reference, file.read_bytes()
                except OSError as error:
                    raise DataError(f"{file}: {error.strerror}; fix the path or leave it empty") from None
            return
        with self._archive() as archive:
            for reference in references:
                try:
                    yield reference, archive.read(reference)
                except KeyError:
                    raise DataError(f"{self.path}: has no picture {reference!r}") from None
                except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                    raise DataError(
                        f"{self.path}: picture {reference!r} is damaged ({error}); fetch it again"
                    ) from None

    def _inside(self, reference: str) -> bool:
        file = self.path / reference
        return file.is_file() and file.resolve().is_relative_to(self.path.resolve())

    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except FileNotFoundError:
            raise DataError(
                f"{self.path}: the pictures' folder or zip is gone; put it back, or import again"
            ) from None
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"{self.path}: not a readable zip archive ({error}); fetch it again") from None


def open_picture(data: bytes, place: str) -> Image.Image:
    """Decode a picture to RGB; DataError when it is broken, truncated or larger than MAX_PIXELS."""
    try:
        # Pillow only warns where we refuse; the lock because warning filters belong to the whole process
        with HEADER_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            header = Image.open(io.BytesIO(data), formats=FORMATS)
        with header as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DataError(
                    f"{place}: picture has {width}x{height} pixels, more than {MAX_PIXELS:,}; make it smaller"
                )
            return image.convert("RGB")
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{place}: not a picture of a known format; replace it or leave it empty") from None
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{place}: picture cannot be decoded ({error}); replace it or leave it empty"
        ) from None


def read_upload(picture: bytes | Path | Image.Image) -> Image.Image:
    """A picture from outside: its bytes, its file, or already open; DataError when it is none."""
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    if isinstance(picture, bytes):
        return open_picture(picture, "query picture")
    try:
        data = picture.read_bytes()
    except OSError as error:
        raise DataError(f"{picture}: cannot be read ({error.strerror}); name a picture file") from None
    return open_picture(data, str(picture))


def fit_pixels(image: Image.Image, height: int, width: int) -> PixelArray:
    """The whole picture in [height, width, 3], with white borders where its shape differs."""
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = Image.new("RGB", (width, height), "white")
    scaled = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    canvas.paste(scaled, ((width - size[0]) // 2, (height - size[1]) // 2))
    return np.asarray(canvas, dtype=np.uint8)


def png_bytes(picture: Image.Image | PixelArray) -> bytes:
    """A picture, or its pixels [Y, X, 3], as a PNG file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
