from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data.csv_shop import import_from, jpeg
from unimp.core.errors import DataError
from unimp.data.dataset import Dataset

BUSINESS = "yelp_academic_dataset_business.json"
REVIEW = "yelp_academic_dataset_review.json"


def folder_of(folder: Path) -> Path:
    folder.mkdir()
    places = [
        {
            "business_id": "b1",
            "name": "Café Uno",
            "city": "Tampa",
            "state": "FL",
            "categories": "Coffee, Bars",
        },
        {"business_id": "b2", "name": "Dos", "city": "", "state": "FL", "categories": None},
    ]
    places[0]["categories"] = "Coffee, Bars"
    said = [
        ("u1", "b1", 5.0, "2018-07-07 22:09:11", "Fine."),
        ("u1", "b2", 2.0, "2018-07-07 22:09:10", ""),
        ("u1", "b1", 1.0, "2019-01-01 00:00:00", "Worse."),
    ]
    names = ("user_id", "business_id", "stars", "date", "text")
    (folder / BUSINESS).write_text("".join(json.dumps(place) + "\n" for place in places))
    (folder / REVIEW).write_text(
        "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in said)
    )
    (folder / "photos").mkdir()
    (folder / "photos" / "p1.jpg").write_bytes(jpeg())
    photo = {"photo_id": "p1", "business_id": "b1", "caption": "", "label": "inside"}
    (folder / "photos.json").write_text(json.dumps(photo) + "\n")
    return folder


def test_the_published_layout(tmp_path: Path) -> None:
    dataset: Dataset = import_from("yelp", folder_of(tmp_path / "yelp"), tmp_path / "out", k_core=0)
    assert dataset.interactions.histories.items_of(0).tolist() == [1, 0, 0]
    assert dataset.interactions.events["rating"].to_list() == [2, 5, 1]
    assert dataset.interactions.events["review"].to_list() == [None, "Fine.", "Worse."]
    assert dataset.interactions.events["timestamp"][0] == 1_531_001_350
    assert dataset.catalog.item(0).attributes == {
        "name": "Café Uno", "categories": "Coffee, Bars", "city": "Tampa", "state": "FL"
    }  # fmt: skip
    assert dataset.catalog.picture_references == ["p1.jpg", None]


def test_bad_rows_and_missing_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "yelp")
    with (folder / REVIEW).open("a") as file:
        file.write('{"user_id": "u1", "business_id": "b1", "stars": 3, "date": "yesterday"}\n')
    with pytest.raises(DataError, match=r'_review\.json:4: timestamp is not a time: "yesterday"'):
        import_from("yelp", folder, tmp_path / "out", k_core=0)
    dataset = import_from("yelp", folder, tmp_path / "out", k_core=0, max_bad_rows=1)
    assert dataset.manifest.counts["bad_rows"] == 1
    (folder / REVIEW).unlink()
    with pytest.raises(DataError, match=r"has no yelp_academic_dataset_review\.json; give Yelp's"):
        import_from("yelp", folder, tmp_path / "x")
