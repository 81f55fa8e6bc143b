"""Pictures as people have them come out as a browser shows them: upright, on white, 8 bits a channel."""

from __future__ import annotations

import io
import random

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, features

from unimp.data import pictures
from unimp.data.picture_check import decoding_problem
from unimp.data.pictures import as_shown, fit_pixels, open_picture, read_upload, reading_mark

TURNS = {1: "AB/CD", 2: "BA/DC", 3: "DC/BA", 4: "CD/AB", 5: "AC/BD", 6: "CA/DB", 7: "DB/CA", 8: "BD/AC"}
"""EXIF orientation -> what a viewer makes of four patches stored as AB over CD."""
PATCHES = {"A": (250, 10, 10), "B": (10, 250, 10), "C": (10, 10, 250), "D": (240, 240, 20)}


def written(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def seen(data: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(open_picture(data, "picture"))


def test_a_telephones_picture_without_the_extra_says_what_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "heic_format", lambda: ())
    problem = decoding_problem(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60), "a.heic")
    assert problem == (
        "a.heic: HEIC, as telephones save it, not a picture that can be read; pip install 'unimp[heic]', "
        "replace it by a JPEG or PNG, or leave it empty"
    )


def test_a_telephones_picture_is_read_with_the_extra() -> None:
    pytest.importorskip("pillow_heif", reason="needs the extra heic")
    pictures.heic_format()
    data = written(patches("AB/CD", 32), "HEIF", quality=95)
    shown = seen(data)
    for letter, (y, x) in zip("ABCD", ((16, 16), (16, 48), (48, 16), (48, 48)), strict=True):
        assert np.abs(shown[y, x].astype(int) - PATCHES[letter]).max() < 25  # it is compressed
    assert decoding_problem(data[: len(data) // 2], "cut.heic").startswith("cut.heic: ")


def patches(layout: str, size: int = 16) -> Image.Image:
    """Four patches of colour, twice as wide as high where they are stored."""
    rows = layout.split("/")
    image = Image.new("RGB", (2 * size, 2 * size))
    for y, row in enumerate(rows):
        for x, letter in enumerate(row):
            image.paste(PATCHES[letter], (x * size, y * size, (x + 1) * size, (y + 1) * size))
    return image


def layout_of(pixels: npt.NDArray[np.uint8]) -> str:
    """The letters of the four patches."""
    height, width = pixels.shape[:2]
    found = []
    for y in (height // 4, 3 * height // 4):
        row = ""
        for x in (width // 4, 3 * width // 4):
            distance = {k: int(np.abs(pixels[y, x].astype(int) - c).sum()) for k, c in PATCHES.items()}
            row += min(distance, key=lambda letter: distance[letter])
        found.append(row)
    return "/".join(found)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", TURNS)
def test_exif_orientation_is_applied_once(form: str, turn: int) -> None:
    exif = Image.Exif()
    exif[274] = turn
    data = written(patches("AB/CD"), form, exif=exif)
    assert layout_of(seen(data)) == TURNS[turn]
    assert layout_of(np.asarray(read_upload(Image.open(io.BytesIO(data))))) == TURNS[turn]


def test_a_lying_photo_stands_up() -> None:
    exif = Image.Exif()
    exif[274] = 8
    data = written(Image.new("RGB", (50, 30), "teal"), "JPEG", exif=exif)
    assert open_picture(data, "photo").size == (30, 50)


def test_damaged_metadata_leave_the_picture_as_it_is() -> None:
    data = written(patches("AB/CD"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert layout_of(seen(data)) == "AB/CD"
    exif = Image.Exif()
    exif[274] = 77
    assert layout_of(seen(written(patches("AB/CD"), "JPEG", exif=exif))) == "AB/CD"


def transparent(mode: str) -> Image.Image:
    """A dark square on nothing, its hidden pixels black."""
    image = Image.new("LA", (20, 20), (0, 0))
    image.paste((30, 255), (5, 5, 15, 15))
    if mode == "P":
        return image.convert("RGBA").quantize(8, dither=Image.Dither.NONE)
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "form"),
    [("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF"), ("RGBA", "GIF")],
)
def test_what_is_transparent_is_white(mode: str, form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    pixels = seen(written(transparent(mode), form, **options))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[10, 10].tolist() == [30, 30, 30]


def test_half_transparent_lies_between_its_colour_and_white() -> None:
    pixels = seen(written(Image.new("RGBA", (4, 4), (0, 100, 200, 128)), "PNG"))
    assert np.abs(pixels[0, 0].astype(int) - [127, 177, 227]).max() <= 1


@pytest.mark.parametrize(("mode", "clear"), [("L", 9), ("RGB", (9, 9, 9))])
def test_a_colour_declared_transparent_is_white(mode: str, clear: object) -> None:
    image = Image.new(mode, (4, 4), clear)  # type: ignore[arg-type]
    image.putpixel((1, 1), 200 if mode == "L" else (200, 200, 200))
    pixels = seen(written(image, "PNG", transparency=clear))
    assert pixels[0, 0].tolist() == [255] * 3
    assert pixels[1, 1].tolist() == [200] * 3


def test_premultiplied_colours_of_an_open_picture() -> None:
    image = Image.new("RGBA", (4, 4), (200, 100, 0, 128)).convert("RGBa")
    assert np.abs(np.asarray(as_shown(image))[0, 0].astype(int) - [227, 177, 127]).max() <= 3


def ramp(kind: str, top: float) -> Image.Image:
    return Image.fromarray(np.linspace(0, top, 1024).reshape(32, 32).astype(kind))


@pytest.mark.parametrize(
    ("image", "form"),
    [
        (ramp("uint16", 65535), "PNG"),
        (ramp("uint16", 65535), "TIFF"),
        (ramp("int32", 65535), "TIFF"),
        (ramp("int32", 255), "TIFF"),
        (ramp("int32", 2_000_000), "TIFF"),
        (ramp("float32", 1.0), "TIFF"),
        (ramp("float32", 255.0), "TIFF"),
    ],
)
def test_deep_grey_keeps_its_middle(image: Image.Image, form: str) -> None:
    pixels = seen(written(image, form))
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert abs(float(pixels.mean()) - 127.5) < 1.5
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_a_sixteen_bit_grey_may_declare_its_transparent_value() -> None:
    values = np.full((4, 4), 300, dtype=np.uint16)
    values[1, 1] = 40_000
    pixels = seen(written(Image.fromarray(values), "PNG", transparency=300))
    assert pixels[0, 0].tolist() == [255] * 3
    assert pixels[1, 1].tolist() == [156] * 3


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_printing_colours(form: str) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    options = {"quality": 95} if form == "JPEG" else {}
    assert np.abs(seen(written(image, form, **options))[8, 8].astype(int) - [255, 0, 0]).max() <= 6


def test_palette_and_line_art() -> None:
    palette = patches("AB/CD").quantize(4, dither=Image.Dither.NONE)
    assert layout_of(seen(written(palette, "PNG"))) == "AB/CD"
    line = Image.new("1", (4, 4), 1)
    line.putpixel((2, 2), 0)
    pixels = seen(written(line, "PNG"))
    assert pixels[0, 0].tolist() == [255] * 3
    assert pixels[2, 2].tolist() == [0] * 3


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_where_pillow_has_it() -> None:
    assert layout_of(seen(written(patches("AB/CD"), "AVIF", quality=90))) == "AB/CD"


def test_only_pictures_that_are_read_otherwise_now_leave_the_caches() -> None:
    exif = Image.Exif()
    exif[274] = 6
    plain = [
        written(patches("AB/CD"), "JPEG"),
        written(patches("AB/CD"), "PNG"),
        written(Image.new("CMYK", (4, 4)), "JPEG"),
        b"broken",
    ]
    changed = [
        written(patches("AB/CD"), "JPEG", exif=exif),
        written(transparent("RGBA"), "PNG"),
        written(transparent("P"), "PNG"),
        written(ramp("uint16", 65535), "PNG"),
    ]
    assert [reading_mark(data) for data in plain] == [b""] * 4
    assert all(reading_mark(data) for data in changed)


def test_a_borderless_transparent_picture_meets_white_borders() -> None:
    image = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    image.paste((20, 20, 20, 255), (5, 0, 15, 10))
    pixels = fit_pixels(open_picture(written(image, "PNG"), "x"), 20, 20)
    assert (pixels[0] == 255).all()
    assert pixels[10, 0].tolist() == [255] * 3
    assert pixels[10, 10].tolist() == [20] * 3


def samples() -> list[bytes]:
    """One file of every kind that is read."""
    values = np.random.default_rng(0).integers(0, 255, (24, 18, 3), dtype=np.uint8)
    noise, exif = Image.fromarray(values), Image.Exif()
    exif[274], exif[270] = 6, "words"
    clear = noise.convert("RGBA")
    clear.putalpha(noise.convert("L"))
    made = [
        written(noise, "JPEG", exif=exif),
        written(noise.convert("CMYK"), "JPEG", progressive=True),
        written(clear, "PNG", exif=exif),
        written(clear.quantize(16), "PNG"),
        written(ramp("uint16", 65535), "PNG"),
        written(clear, "GIF"),
        written(clear, "WEBP", exif=exif),
        written(noise, "BMP"),
        written(noise, "TIFF", exif=exif),
        written(noise, "TIFF", compression="tiff_lzw"),
        written(ramp("float32", 1.0), "TIFF"),
    ]
    return [*made, written(noise, "AVIF")] if features.check("avif") else made


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, taken out, put in, or the end cut off."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 2, 4, 16))):
        place = rng.randrange(min(len(found), rng.choice((64, 200, 10**9))))
        kind = rng.random()
        if kind < 0.6:
            found[place] = rng.randrange(256)
        elif kind < 0.8:
            del found[place : place + rng.randrange(1, 40)]
        elif kind < 0.9:
            found[place:place] = rng.randbytes(rng.randrange(1, 20))
        else:
            found = found[: max(1, place)]
        if not found:
            return b""
    return bytes(found)


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_picture_is_one_line_or_a_picture(seed: int) -> None:
    rng = random.Random(seed)
    for data in samples() * 10:
        damaged = mutated(data, rng)
        reading_mark(damaged)
        said = decoding_problem(damaged, "x")  # any error but DataError goes through it
        assert said == "" or (said.startswith("x: ") and "\n" not in said)
