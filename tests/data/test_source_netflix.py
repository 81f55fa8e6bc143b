from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data.csv_shop import import_from, jpeg
from unimp.core.errors import DataError


def layout(folder: Path) -> Path:
    (folder / "Netflix_Posters").mkdir(parents=True)
    (folder / "Netflix_Posters" / "0.jpg").write_bytes(jpeg())
    (folder / "item_attribute.csv").write_text(
        '0,2003.0,Dinosaur Planet\n1,,Isle of Man, The\n2,2004,"Character, A"\n3,1999,Unseen\n'
    )
    for part, lists in {
        "train": {"0": [1, 0], "1": [2]},
        "val": {"0": [2]},
        "test": {"1": [0], "0": []},
    }.items():
        (folder / f"{part}.json").write_text(json.dumps(lists))
    return folder


def test_the_published_layout(tmp_path: Path) -> None:
    dataset = import_from("netflix", layout(tmp_path / "netflix"), tmp_path / "out")
    log = dataset.interactions.histories
    assert [log.items_of(user).tolist() for user in range(2)] == [[1, 0, 2], [2, 0]]
    assert [dataset.catalog.item(row).attributes for row in range(3)] == [
        {"title": "Dinosaur Planet", "year": "2003"},
        {"title": "Isle of Man, The"},
        {"title": "Character, A", "year": "2004"},
    ]
    assert dataset.catalog.picture_references == ["0.jpg", None, None]


def test_augmented_attributes_and_a_header(tmp_path: Path) -> None:
    folder = layout(tmp_path / "netflix")
    (folder / "augmented_item_attribute_agg.csv").write_text(
        "id,year,title,director,country,language\n"
        + "".join(f"{i},2000,T{i},Someone,France,French\n" for i in range(4))
    )
    dataset = import_from("netflix", folder, tmp_path / "out")
    assert dataset.catalog.item(0).attributes == {
        "title": "T0", "year": "2000", "director": "Someone", "country": "France", "language": "French"
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_titles_in_either_encoding(tmp_path: Path, encoding: str) -> None:
    folder = layout(tmp_path / "netflix")
    rows = "".join(f"{item},2000,Amélie {item}\n" for item in range(4))
    (folder / "item_attribute.csv").write_bytes(rows.encode(encoding))
    dataset = import_from("netflix", folder, tmp_path / "out")
    assert dataset.catalog.texts["title"][0] == "Amélie 0"
    said = "item_attribute.csv is not UTF-8 and was read as latin-1" in dataset.manifest.notes
    assert said == (encoding == "latin-1")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.json", '{"0": [1, 9]}', r'^train\.json:1: unknown item "9"'),
        ("train.json", '{"0": [1, 2}', r"train\.json: not valid JSON"),
        ("train.json", "[1, 2]", "expected an object of user -> list"),
        ("val.json", '{"0": [1], "1": 2}', r'^val\.json:2: user "1" has "2", expected a list'),
        ("item_attribute.csv", "0,2003\n", r"^item_attribute\.csv:1: row has 2 field\(s\), expected 3"),
        ("item_attribute.csv", "", r"^item_attribute\.csv: empty catalogue"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    folder = layout(tmp_path / "netflix")
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=message):
        import_from("netflix", folder, tmp_path / "out")


def test_another_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no train\.json; give LLMRec's netflix folder"):
        import_from("netflix", tmp_path, tmp_path / "out")
