"""Pictures as shops name them: paths of either kind, several, web addresses, broken ones, placeholders."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.data.csv_shop import CsvShop, import_csv, import_from, jpeg, shop, write_csv
from unimp.core.errors import DataError
from unimp.data.dataset import Dataset
from unimp.data.picture_cells import PictureFinder, split_cell
from unimp.data.picture_check import LISTED, pictures_by_id
from unimp.data.pictures import PictureSource
from unimp.data.placeholders import find_placeholders


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("a.png", ["a.png"]),
        ("a.png, b.png", ["a.png", "b.png"]),
        ("a.png,b.jpeg", ["a.png", "b.jpeg"]),
        ("red, large.png", ["red", "large.png"]),
        ("Nut,hex.png", ["Nut,hex.png"]),
        ("a.png|b.png ; c.png\na.png", ["a.png", "b.png", "c.png"]),
        ('["x/a.png", "", "b.png"]', ["x/a.png", "b.png"]),
        ("[broken", ["[broken"]),
        ("['a.png', 'b.png']", ["a.png", "b.png"]),
        ("['a.png' 'b.png']", ["a.png", "b.png"]),
        ('[{"src": "a.png"}, {"id": 3}, {"src": "b.png"}]', ["a.png", "b.png"]),
        ("[{'thumb': 's.jpg', 'large': 'l.jpg', 'hi_res': None}]", ["l.jpg"]),
        ('{"url": "a.png"}', ["a.png"]),
        ("https://s.example/w_10,h_20/a.png", ["https://s.example/w_10,h_20/a.png"]),
        ("https://s.example/a.png,https://s.example/b.png", ["https://s.example/a.png", "https://s.example/b.png"]),
        ("https://s.example/a.png https://s.example/b.png", ["https://s.example/a.png", "https://s.example/b.png"]),
        ("https://s.example/a?x=1&amp;y=2", ["https://s.example/a?x=1&y=2"]),
        ("//cdn.s.example/f/a.png", ["https://cdn.s.example/f/a.png"]),
        ("//a.png", ["//a.png"]),
        ("<p><img alt='x' src='https://s.example/a.png?x=1&amp;y=2'><img src=b.png></p>",
         ["https://s.example/a.png?x=1&y=2", "b.png"]),
        ("  ", []),
    ],
)  # fmt: skip
def test_the_pictures_of_a_cell(cell: str, expected: list[str]) -> None:
    assert split_cell(cell) == expected


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "B.JFIF", "sub/c d.tif", "sub/deep.webp", "Mu\u0308tze.png"):
        (folder / name).write_bytes(jpeg())
    return folder


FOUND = [
    ("a.png", "a.png"),
    ("./a.png", "a.png"),
    ("photos/a.png", "a.png"),
    ("photos\\a.png", "a.png"),
    ("A.PNG", "a.png"),
    ("b", "B.JFIF"),
    ("sub/c%20d.tif", "sub/c d.tif"),
    ("sub/c d", "sub/c d.tif"),
    ("https://cdn.example/x/A.png?v=2", "a.png"),
    ("C:\\shop\\photos\\A.png", "a.png"),
    ("/home/ann/shop/deep.webp", "sub/deep.webp"),
    ("M\u00fctze.png", "Mu\u0308tze.png"),
    ("https://cdn.example/", None),
    ("../photos.txt", None),
    ("/etc/hosts", None),
    ("nothing.png", None),
]


@pytest.mark.parametrize(("reference", "member"), FOUND)
def test_where_a_named_picture_lies(photos: Path, tmp_path: Path, reference: str, member: str | None) -> None:
    (tmp_path / "photos.txt").write_text("outside")
    assert PictureFinder(PictureSource(photos)).find(reference) == member
    packed = tmp_path / "photos.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(photos.rglob("*.*")):
            archive.write(path, path.relative_to(photos).as_posix())
    assert PictureFinder(PictureSource(packed)).find(reference) == member


def test_an_absolute_path_inside_the_folder_is_found(photos: Path) -> None:
    finder = PictureFinder(PictureSource(photos))
    assert finder.find(str(photos / "sub" / "deep.webp")) == "sub/deep.webp"
    assert finder.find(f"file://{photos}/a.png") == "a.png"


def test_a_picture_that_can_be_read_comes_before_one_of_a_telephone(tmp_path: Path) -> None:
    for name in ("00.heic", "00.png", "01.heic"):
        (tmp_path / name).write_bytes(jpeg())
    assert pictures_by_id(PictureSource(tmp_path)) == {"00": "00.png", "01": "01.heic"}


def test_a_column_of_pictures_without_the_role_is_noted(tmp_path: Path) -> None:
    made = own(*(f"https://s.example/{n}.jpg?v=1" for n in range(4)))
    folder = written(tmp_path / "shop", made, "images/00.jpg")
    table = (folder / "items.csv").read_text().replace("price,picture", "price,Image Src")
    (folder / "items.csv").write_text(table)
    dataset = import_csv(folder, tmp_path / "out")
    said = 'Image Src: "https://s.example/0.jpg?v=1" is a picture; --map Image Src=picture uses it'
    assert said in dataset.manifest.notes
    assert read_all(dataset)[0] == "00.jpg"
    assert not any("is a picture" in note for note in import_csv(
        written(tmp_path / "other", own()), tmp_path / "o2").manifest.notes
    )  # fmt: skip


def own(*pictures: str) -> CsvShop:
    """The shop whose items 00, 01, … name these pictures."""
    rows = [
        (*row[:4], picture) for row, picture in zip(shop().items, (*pictures, "", "", "", ""), strict=False)
    ]
    return replace(shop(), items=tuple(rows[:4]))


def written(folder: Path, made: CsvShop, *files: str) -> Path:
    folder.mkdir()
    write_csv(folder / "items.csv", ("item_id", "title", "colour", "price", "picture"), made.items)
    write_csv(folder / "events.csv", ("user_id", "item_id", "timestamp", "rating", "review"), made.events)
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(jpeg())
    return folder


def read_all(dataset: Dataset) -> list[str | None]:
    """The references; each of them can be read."""
    references = dataset.catalog.picture_references
    source = dataset.catalog.pictures
    assert source is not None
    assert len(list(source.read(name for name in references if name))) == len([n for n in references if n])
    return references


def test_names_relative_to_the_pictures_folder_or_with_its_name(tmp_path: Path) -> None:
    made = own("pictures/a.jpg", "b.jpg")
    folder = written(tmp_path / "shop", made, "pictures/a.jpg", "pictures/b.jpg")
    assert read_all(import_csv(folder, tmp_path / "out")) == ["a.jpg", "b.jpg", None, None]


def test_names_relative_to_the_table_where_a_pictures_folder_lies_too(tmp_path: Path) -> None:
    made = own("img/a.jpg", "b.jpg", "pictures/b.jpg")
    folder = written(tmp_path / "shop", made, "img/a.jpg", "pictures/b.jpg")
    expected = ["img/a.jpg", "pictures/b.jpg", "pictures/b.jpg", None]
    assert read_all(import_csv(folder, tmp_path / "out")) == expected


def test_several_pictures_the_first_is_used_and_all_are_kept(tmp_path: Path) -> None:
    folder = written(
        tmp_path / "shop", own("a.jpg, b.jpg", "gone.jpg|b.jpg"), "pictures/a.jpg", "pictures/b.jpg"
    )
    dataset = import_csv(folder, tmp_path / "out")
    assert read_all(dataset)[:2] == ["a.jpg", "b.jpg"]
    assert any(note.startswith("2 item(s) name several pictures") for note in dataset.manifest.notes)
    listed = pl.read_parquet(tmp_path / "out" / LISTED)
    assert listed.select("item_id", "place", "reference").rows() == [
        ("00", 0, "a.jpg"), ("00", 1, "b.jpg"), ("01", 0, "gone.jpg"), ("01", 1, "b.jpg"),
    ]  # fmt: skip


def test_addresses_on_the_web_are_said_and_not_fetched(tmp_path: Path) -> None:
    folder = written(tmp_path / "shop", own("https://cdn.example/a.jpg", "https://cdn.example/b.jpg"))
    dataset = import_csv(folder, tmp_path / "out")
    assert dataset.catalog.picture_references == [None] * 4
    assert dataset.manifest.counts["pictures_on_the_web"] == 2
    last = dataset.manifest.notes[-1]
    assert last.startswith(
        "2 item(s) have their pictures on the web, which an import does not fetch: `unimp data"
    )
    assert "--pictures" in last
    assert pl.read_parquet(tmp_path / "out" / LISTED)["web"].to_list() == [True, True]


def test_addresses_whose_files_lie_in_a_folder_are_found_by_name_or_by_id(tmp_path: Path) -> None:
    made = own("https://cdn.example/x/a.jpg", "https://cdn.example/y")
    folder = written(tmp_path / "shop", made)
    (tmp_path / "mine").mkdir()
    for name in ("a.jpg", "01.jfif"):
        (tmp_path / "mine" / name).write_bytes(jpeg())
    dataset = import_csv(folder, tmp_path / "out", pictures=tmp_path / "mine")
    assert read_all(dataset) == ["a.jpg", "01.jfif", None, None]


def test_broken_and_missing_pictures_count_as_bad_rows_and_the_item_stays(tmp_path: Path) -> None:
    folder = written(tmp_path / "shop", own("a.jpg", "b.jpg", "gone.jpg"), "pictures/a.jpg")
    (folder / "pictures" / "b.jpg").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r'^items\.csv:4: item "02" names missing image "gone\.jpg"'):
        import_csv(folder, tmp_path / "out")
    with pytest.raises(DataError, match=r'2 bad rows, 1 allowed.*item "01", pictures/b\.jpg: a web page'):
        import_csv(folder, tmp_path / "out", max_bad_rows=1)
    dataset = import_csv(folder, tmp_path / "out", max_bad_rows=2)
    assert read_all(dataset) == ["a.jpg", None, None, None]
    counts = dataset.manifest.counts
    assert (counts["bad_rows"], counts["pictures_broken"], counts["items"]) == (2, 1, 4)
    assert any(
        note.startswith("2 bad row(s) dropped, the first: items.csv:4") for note in dataset.manifest.notes
    )


def test_usual_endings_are_found_by_item_id(tmp_path: Path) -> None:
    folder = tmp_path / "sequences"
    folder.mkdir()
    items = ["w.webp", "x.jfif", "y.tif", "z.JPEG", "v.txt"]
    (folder / "log.json").write_text(
        "\n".join(
            f'{{"reviewerID": "u{u}", "asin": "{name[0]}", "overall": 5, "unixReviewTime": {t}}}'
            for u in range(3)
            for t, name in enumerate(items)
        )
    )
    (tmp_path / "own").mkdir()
    for name in items:
        (tmp_path / "own" / name).write_bytes(jpeg())
    dataset = import_from(
        "amazon", folder / "log.json", tmp_path / "out", k_core=0, pictures=tmp_path / "own"
    )
    assert dataset.catalog.picture_references == ["w.webp", "x.jfif", "y.tif", "z.JPEG", None]


def pictures_of(folder: Path, colours: list[str]) -> tuple[PictureSource, list[str | None]]:
    folder.mkdir()
    for place, colour in enumerate(colours):
        (folder / f"{place}.jpg").write_bytes(jpeg(colour))
    return PictureSource(folder), [f"{place}.jpg" for place in range(len(colours))]


SHADES = [f"#{shade:02x}{255 - shade:02x}40" for shade in range(0, 240, 12)]
WORDS = ("lamp", "chair", "cup", "knife", "rug", "clock", "vase", "plate", "pan", "bin")


def test_a_placeholder_on_unlike_items_is_found_by_its_content(tmp_path: Path) -> None:
    source, references = pictures_of(tmp_path / "p", [*SHADES, *["grey"] * 5])
    titles = [f"thing {place}" for place in range(20)] + [f"thing {word}" for word in WORDS[:5]]
    (found,) = find_placeholders(source, references, titles)
    assert found.items == (20, 21, 22, 23, 24)
    packed = tmp_path / "p.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in references:
            archive.write(source.path / str(name), str(name))
    assert find_placeholders(PictureSource(packed), references, titles) == [found]


def test_variants_of_a_product_may_share_their_picture(tmp_path: Path) -> None:
    source, references = pictures_of(tmp_path / "p", [*SHADES, *["grey"] * 5])
    titles = [f"thing {place}" for place in range(20)] + [
        f"Parka {size}" for size in ["S", "M", "L", "XL", "XXL"]
    ]
    assert find_placeholders(source, references, titles) == []
    assert find_placeholders(source, references, None) == []


def test_without_titles_many_are_needed(tmp_path: Path) -> None:
    source, references = pictures_of(tmp_path / "p", [*SHADES, *SHADES[:5], *["grey"] * 20])
    (found,) = find_placeholders(source, references, None)
    assert len(found.items) == 20


def test_a_name_that_says_it_and_a_shop_of_one_picture(tmp_path: Path) -> None:
    source, references = pictures_of(tmp_path / "p", SHADES)
    (source.path / "no_image.png").write_bytes(jpeg("white"))
    named: list[str | None] = [*references, "no_image.png", None, "no_image.png"]
    titles = [f"Parka {place}" for place in range(23)]
    (found,) = find_placeholders(source, named, titles)
    assert found.items == (20, 22)
    (all_alike,) = find_placeholders(source, ["0.jpg"] * 8, ["thing"] * 8)
    assert len(all_alike.items) == 8


def test_an_import_leaves_placeholders_out_and_says_so(tmp_path: Path) -> None:
    folder = written(
        tmp_path / "shop", own("a.jpg", "none/placeholder.jpg", "none/placeholder.jpg"), "img/x.jpg"
    )
    (folder / "pictures" / "none").mkdir(parents=True)
    (folder / "pictures" / "none" / "placeholder.jpg").write_bytes(jpeg("white"))
    (folder / "pictures" / "a.jpg").write_bytes(jpeg())
    dataset = import_csv(folder, tmp_path / "out")
    assert read_all(dataset) == ["a.jpg", None, None, None]
    assert dataset.manifest.counts["placeholder_pictures"] == 2
    note = "2 item(s) share placeholder pictures, which are left out: none/placeholder.jpg (2)"
    assert note in dataset.manifest.notes
