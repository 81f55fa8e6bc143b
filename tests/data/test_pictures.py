from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.csv_shop import import_csv, import_from, jpeg, shop
from unimp.core.errors import DataError
from unimp.data import picture_check
from unimp.data.check import check_dataset
from unimp.data.dataset import Dataset
from unimp.data.picture_check import pictures_by_id, undecodable_pictures
from unimp.data.pictures import PictureSource, fit_pixels, open_picture


def huge_png(width: int, height: int) -> bytes:
    """A PNG whose header claims width x height; its pixels are not there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


BROKEN = {
    "a web page": (b"<html>not found</html>", r"a web page \(HTML\), not a picture"),
    "a drawing": (b'<svg xmlns="x"/>', "an SVG drawing, not a picture"),
    "not a picture": (b"what is this", "not a picture of a known format"),
    "empty": (b"", "an empty file, not a picture"),
    "truncated": (jpeg(width=96, height=144)[:-200], "picture cannot be decoded .*truncated"),
    "100 megapixels": (huge_png(10_000, 10_000), "picture has 10000x10000 pixels, more than 50,000,000"),
    "400 megapixels": (huge_png(20_000, 20_000), "picture cannot be decoded .*400000000 pixels"),
    "a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript, not a picture"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_picture_names_its_file_and_is_imported_by_nobody(tmp_path: Path, name: str) -> None:
    data, message = BROKEN[name]
    folder = shop().write(tmp_path / "shop")
    (folder / "img" / "2.jpg").write_bytes(data)
    with pytest.raises(DataError, match=r'^items\.csv:4: item "02", shop/img/2\.jpg: ' + message) as raised:
        import_csv(folder, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_an_unchecked_broken_picture_is_found_by_the_check(tmp_path: Path) -> None:
    folder = shop().write(tmp_path / "shop")
    for row in (0, 2):
        (folder / "img" / f"{row}.jpg").write_bytes(jpeg()[:-60])
    dataset = import_csv(folder, tmp_path / "out", check_pictures="none")
    assert "none of the 4 pictures was decoded to check it" in dataset.manifest.notes
    (folder / "img" / "1.jpg").unlink()
    report = check_dataset(tmp_path / "out")
    named = [problem.split(".jpg")[0][-1] for problem in report.undecodable_pictures]
    assert named == ["1", "0", "2"]  # the missing one first
    assert not report.passed


def test_a_damaged_archive_is_checked_to_its_end(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "p.zip", a=jpeg("red"), b=b"A" * 500, c=b"broken", d=jpeg("blue"))
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"BBBB", 1))
    names = [f"images/{letter}.jpg" for letter in "abcde"]
    problems = undecodable_pictures(PictureSource(path), names, show_progress=False)
    assert [part in problem for part, problem in zip("ebc", problems, strict=True)] == [True] * 3
    assert "no such picture" in problems[0]


def test_a_sample_is_spread_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_check, "SAMPLE", 2)
    folder = shop().write(tmp_path / "shop")
    (folder / "img" / "1.jpg").write_bytes(b"broken, and not in the sample")
    notes = import_csv(folder, tmp_path / "out").manifest.notes
    assert "2 of 4 pictures were decoded to check them; --check-pictures all does all" in notes
    with pytest.raises(DataError, match="not a picture"):
        import_csv(folder, tmp_path / "all", check_pictures="all")


def test_a_picture_that_the_table_names_must_exist(tmp_path: Path) -> None:
    folder = shop().write(tmp_path / "shop")
    (folder / "img" / "2.jpg").unlink()
    with pytest.raises(
        DataError, match=r'^items\.csv:4: item "02" names missing image "img/2\.jpg"; fix the'
    ):
        import_csv(folder, tmp_path / "out")


def test_a_picture_outside_the_folder_is_missing(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    folder = shop().but("items", 3, 4, "../secret.jpg").write(tmp_path / "shop")
    with pytest.raises(DataError, match=r'names missing image "\.\./secret\.jpg"'):
        import_csv(folder, tmp_path / "out")
    with pytest.raises(DataError, match="lies outside the folder"):
        list(PictureSource(folder).read(["../secret.jpg"]))


def zip_of(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("images")
        for name, data in members.items():
            archive.writestr(f"images/{name}.jpg", data)
    return path


def test_a_zip_reads_like_a_folder(tmp_path: Path) -> None:
    archive = PictureSource(zip_of(tmp_path / "p.zip", a=jpeg("red"), b=jpeg("blue")))
    assert archive.names() == {"images/a.jpg", "images/b.jpg"}
    assert archive.missing(["images/a.jpg", "c"]) == {"c"}
    assert [name for name, _ in archive.read(["images/b.jpg", "images/a.jpg"])] == [
        "images/b.jpg",
        "images/a.jpg",
    ]
    assert pictures_by_id(archive) == {"a": "images/a.jpg", "b": "images/b.jpg"}
    with pytest.raises(DataError, match="has no picture 'c'"):
        list(archive.read(["c"]))


def test_damaged_and_absent_archives(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "p.zip", a=b"A" * 500)
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"BBBB", 1))
    with pytest.raises(DataError, match=r"picture 'images/a\.jpg' is damaged"):
        list(PictureSource(path).read(["images/a.jpg"]))
    path.write_bytes(b"PK no zip")
    with pytest.raises(DataError, match="not a readable zip archive"):
        PictureSource(path).names()
    with pytest.raises(DataError, match="is gone"):
        PictureSource(tmp_path / "absent.zip").names()


def test_the_given_pictures_must_exist(shop_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.zip: no such folder or zip of pictures"):
        import_csv(shop_folder, tmp_path / "out", pictures=tmp_path / "absent.zip")


def test_pictures_stay_where_they_are(shop_folder: Path, tmp_path: Path) -> None:
    dataset = Dataset.load(import_csv(shop_folder, tmp_path / "out").folder)
    source = dataset.catalog.pictures
    assert source is not None
    assert source.path == shop_folder
    assert dict(source.read(["img/1.jpg"]))["img/1.jpg"] == jpeg("green")
    shop_folder.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="the pictures are gone; put them back"):
        Dataset.load(tmp_path / "out")


def test_pictures_looked_up_by_id_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text(
        "\n".join(
            f'{{"reviewerID": "u{u}", "asin": "B{i}", "overall": 5, "unixReviewTime": {i}}}'
            for u in range(3)
            for i in range(3)
        )
    )
    archive = zip_of(tmp_path / "p.zip", B0=jpeg(), B2=jpeg(), unused=b"broken")
    dataset = import_from("amazon", tmp_path / "log.json", tmp_path / "out", k_core=0, pictures=archive)
    assert dataset.catalog.picture_references == ["images/B0.jpg", None, "images/B2.jpg"]
    assert dataset.manifest.counts["pictures_missing"] == 1
    assert "1 item(s) without a picture" in dataset.manifest.notes


def test_fit_pixels_keeps_the_whole_picture_on_white() -> None:
    pixels = fit_pixels(Image.new("RGB", (20, 10), "red"), 8, 8)
    assert pixels.shape == (8, 8, 3)
    assert (pixels[2:6] == [255, 0, 0]).all()
    assert (pixels[:2] == 255).all()
    assert (pixels[6:] == 255).all()


def test_other_modes_become_rgb() -> None:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), 128).save(buffer, "PNG")
    assert np.asarray(open_picture(buffer.getvalue(), "grey")).tolist() == np.full((4, 4, 3), 128).tolist()
