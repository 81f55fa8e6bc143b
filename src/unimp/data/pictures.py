"""Pictures are referenced, not copied: read in place from a folder or a zip archive."""

from __future__ import annotations

import io
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, features

from unimp.core.errors import DataError

MAX_PIXELS = 50_000_000
"""A picture with more pixels than this is refused before it is decoded."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", *(("AVIF",) if features.check("avif") else ()))
"""Formats that Pillow decodes by itself: others may start a program (PostScript) on a stranger's file."""
ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".avif", ".avifs", ".heic", ".heif"}
)
"""Endings, in small letters, of files that may be pictures, whether or not they can be decoded."""
LAST_CHOICE = frozenset({".heic", ".heif"})
"""Of these, the ones that only the extra `heic` reads."""
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
OTHER_KINDS = {
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file",
    b"<!doc": "a web page (HTML)",
    b"<html": "a web page (HTML)",
    b"%pdf": "a PDF",
    b"%!ps": "PostScript",
    b"8bps": "a Photoshop file",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cjxl ": "JPEG XL",
    b"\0\0\0\x0cjp  ": "JPEG 2000",
    b"\0\0\x01\0": "an icon",
}
"""First bytes, in small letters, of what is taken for a picture and is none that is read here."""
ORIENTATION = 0x0112
"""The EXIF tag."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the stored pixels the way that the photographer saw them."""
HEADER_LOCK = threading.Lock()

PixelArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PictureSource:
    """A folder, or a zip archive, whose members are named by the catalogue's `picture` references."""

    path: Path
    beside: Path | None = field(default=None, compare=False, kw_only=True)
    """The folder of the tables, while they are imported: names may start there too."""

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
    """Decode a picture to RGB as a browser shows it; DataError when it is broken or over MAX_PIXELS.

    EXIF orientation is applied, transparent parts are white, 16 bits a channel are scaled to 8.
    """
    try:
        with open_header(data) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DataError(
                    f"{place}: picture has {width}x{height} pixels, more than {MAX_PIXELS:,}; make it smaller"
                )
            return as_shown(image)
    except DataError:
        raise
    except UnidentifiedImageError:
        kind = other_kind(data)
        problem = f"{kind}, not a picture that can be read" if kind else "not a picture of a known format"
        remedy = "replace it by a JPEG or PNG, or leave it empty"
        if is_heic(data) and not heic_format():
            remedy = f"pip install 'unimp[heic]', {remedy}"
        raise DataError(f"{place}: {problem}; {remedy}") from None
    except Exception as error:  # decoders raise whatever they stumble over in a stranger's bytes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{place}: picture cannot be decoded ({reason}); replace it or leave it empty"
        ) from None


def other_kind(data: bytes) -> str:
    """What a file is that Pillow does not know; empty where that is not known here either."""
    if not data:
        return "an empty file"
    if is_heic(data):
        return "HEIC, as telephones save it"
    if data[4:8] == b"ftyp":
        return "AVIF, which this Pillow lacks" if b"avif" in data[8:32] else "a film"
    start = data.lstrip()[:12].lower() if data[:1] in b"<% \r\n\t\xef" else data[:12].lower()
    return next((name for mark, name in OTHER_KINDS.items() if start.startswith(mark)), "")


def is_heic(data: bytes) -> bool:
    """Whether a file is of the family that telephones save, AVIF aside."""
    brands = data[8:32]
    return data[4:8] == b"ftyp" and b"avif" not in brands and any(brand in brands for brand in HEIC_BRANDS)


@cache
def heic_format() -> tuple[str, ...]:
    """Pillow's name of HEIC where the extra `heic` is installed, else nothing."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return ()
    register_heif_opener()
    return ("HEIF",)


def open_header(data: bytes) -> Image.Image:
    """The picture with nothing decoded but its header; raises what Pillow raises."""
    formats = heic_format() if is_heic(data) else FORMATS
    with no_warnings():
        return Image.open(io.BytesIO(data), formats=formats or FORMATS)


@contextmanager
def no_warnings() -> Iterator[None]:
    """Pillow warns of sizes, which we refuse, and of damaged metadata, which we do without."""
    # the lock because warning filters belong to the whole process
    with HEADER_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def as_shown(image: Image.Image) -> Image.Image:
    """An open picture in RGB, upright, on white."""
    with no_warnings() if image.format == "TIFF" else nullcontext():
        image.load()  # Pillow turns a TIFF by itself here, and takes its tag away
    turn = UPRIGHT.get(orientation(image))
    rgb = as_rgb(image)
    return rgb if turn is None else rgb.transpose(turn)


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 (as stored) where there is none or the metadata are damaged."""
    try:
        with no_warnings():
            value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a picture is not refused for damaged metadata, whichever error Pillow makes of it
        return 1
    return value if isinstance(value, int) else 1


def as_rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as RGB, what is transparent laid on white."""
    if image.mode.startswith(("I", "F")):
        return deep_grey(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode in ("La", "RGBa"):  # colours already multiplied by their opacity
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    coloured = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(coloured, mask=coloured.getchannel("A"))
    return canvas


def deep_grey(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits in 8: 16 bits by their upper half, other numbers by the range they are in."""
    values = np.asarray(image)
    if values.dtype.itemsize == 2:
        grey = (values >> 8).astype(np.uint8)
    else:
        known = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        largest = float(known.max(initial=0))
        # The ranges that such pictures are written in: floats to 1, then 8 bits, 16 bits, and their own.
        whole = 255.0 if image.mode != "F" else 1.0
        top = next((end for end in (whole, 255.0, 65535.0) if largest <= end), largest)
        grey = np.clip(known * (255.0 / top), 0, 255).astype(np.uint8)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey = np.where(values == clear, np.uint8(255), grey)
    return Image.fromarray(grey).convert("RGB")


def reading_mark(data: bytes) -> bytes:
    """What a cache by content adds to its key: empty for a picture that every version has read alike.

    Turned, transparent and 16-bit pictures came out otherwise once, and caches may hold features of that.
    """
    try:
        with open_header(data) as image:
            # Asking a PNG for its EXIF decodes it; those that carry any are rare, and are marked all.
            turned = "exif" in image.info if image.format == "PNG" else orientation(image) != 1
            changed = turned or image.has_transparency_data or image.mode.startswith(("I", "F"))
            return b"upright on white" if changed else b""
    except Exception:
        return b""  # it is refused when it is decoded


def read_upload(picture: bytes | Path | Image.Image) -> Image.Image:
    """A picture from outside: its bytes, its file, or already open; DataError when it is none."""
    if isinstance(picture, Image.Image):
        return as_shown(picture)
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
