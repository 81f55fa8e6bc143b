"""Pictures from strangers in, pictures for browsers out."""

from __future__ import annotations

import base64
import binascii
import io
import threading
import warnings

from PIL import Image

from unimp.core.caches import ByteBoundedCache
from unimp.core.errors import DataError
from unimp.data.pictures import open_header
from unimp.serve.settings import PIXEL_BYTES, ServeSettings

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
SHOWN_PIXELS = 320
"""Longest side of a picture that is sent to a browser."""
JPEG_START, JPEG_SCAN = b"\xff\xd8", b"\xff\xda"
MOST_SCANS = 100
"""Progressive JPEGs have about ten; each may take the work of a whole picture and a few bytes."""
MOST_SCANNED = 160_000_000
"""Pixels times scans of a JPEG: ten scans of the largest picture."""
MOST_SIDE = 20_000
"""Pixels of one side."""
HEADER_LOCK = threading.Lock()


def check_upload(data: bytes, settings: ServeSettings, place: str = "picture") -> None:
    """DataError in one line for a picture beyond the limits of bytes, pixels or scans; decodes none."""
    if len(data) > settings.picture_bytes:
        raise DataError(
            f"{place}: {len(data):,} bytes, at most {settings.picture_bytes:,} are read; make it smaller"
        )
    width, height = header_size(data, place, settings)
    if width * height > settings.picture_pixels:
        limit = settings.picture_pixels
        raise DataError(f"{place}: {width}x{height} pixels, at most {limit:,} are read; make it smaller")
    if max(width, height) > MOST_SIDE:
        raise DataError(f"{place}: {width}x{height} pixels, at most {MOST_SIDE:,} a side are read; crop it")
    scans = data.count(JPEG_SCAN) if data.startswith(JPEG_START) else 0
    if scans > MOST_SCANS:
        raise DataError(f"{place}: a JPEG of more than {MOST_SCANS} scans; save it anew as a plain one")
    if scans * width * height > MOST_SCANNED:
        raise DataError(
            f"{place}: a JPEG of {scans} scans of {width}x{height} pixels; save it as a plain one"
        )


def decoding_bytes(data: bytes) -> int:
    """Memory that decoding the picture takes; 0 for what cannot be decoded."""
    try:
        with open_header(data) as image:
            return image.width * image.height * PIXEL_BYTES
    except Exception:  # it is refused, with its reason, when it is decoded
        return 0


def header_size(data: bytes, place: str, settings: ServeSettings) -> tuple[int, int]:
    """Width and height, without decoding any pixel."""
    try:
        with HEADER_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return image.size
    except Image.DecompressionBombError:
        limit = settings.picture_pixels
        raise DataError(
            f"{place}: far more than the {limit:,} pixels that are read; make it smaller"
        ) from None
    except Exception:
        kinds = ", ".join(FORMATS)
        raise DataError(f"{place}: not a picture that can be read; send a whole {kinds} file") from None


def from_base64(text: str, settings: ServeSettings) -> bytes:
    """Bytes of plain base64, or of a `data:` URL with a picture."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if len(text) > settings.picture_bytes * 4 // 3 + 4:
        raise DataError(f"picture: more than {settings.picture_bytes:,} bytes; make it smaller")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DataError("picture: not base64; send the file's bytes in base64") from None


class PictureCache:
    """Pictures ready to send, the least recently used dropped first; safe to use from several threads."""

    def __init__(self, max_bytes: int) -> None:
        self.files: ByteBoundedCache[str, bytes] = ByteBoundedCache(max_bytes)
        self.lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """Held now."""
        return self.files.bytes

    def get(self, name: str) -> bytes | None:
        with self.lock:
            return self.files.get(name)

    def put(self, name: str, data: bytes) -> None:
        with self.lock:
            self.files.put(name, data, len(data))
