"""Picture files made to hurt whoever opens them: few bytes that promise, or unpack to, very much."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

MEBIBYTE = 2**20


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes, before: bytes = b"", *, bits: int = 1) -> bytes:
    """A PNG in grey with already compressed `pixels`, and chunks `before` them."""
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + before + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeros(mebibytes: int) -> bytes:
    """So many zeros, compressed a thousandfold."""
    squeeze, block = zlib.compressobj(9), bytes(MEBIBYTE)
    return b"".join([*(squeeze.compress(block) for _ in range(mebibytes)), squeeze.flush()])


def huge_png(side: int = 50_000) -> bytes:
    """A whole and valid picture of side x side pixels."""
    return png(side, side, zeros(side * (side // 8 + 1) // MEBIBYTE + 1))


def text_bomb(mebibytes: int) -> bytes:
    """A tiny picture with a compressed text of that size."""
    return png(8, 8, zlib.compress(bytes(16)), chunk(b"zTXt", b"c\0\0" + zeros(mebibytes)))


def profile_bomb(mebibytes: int) -> bytes:
    """The same in its colour profile."""
    return png(8, 8, zlib.compress(bytes(16)), chunk(b"iCCP", b"c\0\0" + zeros(mebibytes)))


def pixel_bomb(mebibytes: int) -> bytes:
    """A tiny picture whose pixels unpack to that size."""
    return png(100, 100, zeros(mebibytes), bits=8)


def endless_gif(frames: int) -> bytes:
    """The same small frame again and again."""
    file = io.BytesIO()
    Image.new("P", (64, 64)).save(file, "GIF")
    data = file.getvalue()
    start = data.index(b"\x2c")
    return data[:start] + data[start:-1] * frames + data[-1:]


def wide_gif() -> bytes:
    """A small GIF that claims 65,535 x 65,535 pixels."""
    data = bytearray(endless_gif(1))
    data[6:10] = b"\xff" * 4
    return bytes(data)


def wide_webp() -> bytes:
    """An animated WebP that claims the largest canvas there is."""
    frames = [Image.new("RGB", (64, 64), (shade, 0, 0)) for shade in range(0, 250, 10)]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], duration=1)
    data = bytearray(file.getvalue())
    place = data.index(b"VP8X") + 12
    data[place : place + 6] = (16_382).to_bytes(3, "little") * 2
    return bytes(data)


def large_webp(side: int = 16_383) -> bytes:
    """A whole and valid WebP of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "WEBP", lossless=True, quality=0, method=0)
    return file.getvalue()


def scan_bomb(scans: int, side: int = 4000) -> bytes:
    """A progressive JPEG whose last scan, of a few bytes, comes again and again."""
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "JPEG", quality=5, progressive=True)
    data = file.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + data[-2:]
