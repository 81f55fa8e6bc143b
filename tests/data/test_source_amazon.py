from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.data.csv_shop import import_from, jpeg
from unimp.core.errors import ConfigError, DataError

REVIEW_2014: dict[str, Any] = {
    "reviewerID": "A1",
    "overall": 5.0,
    "reviewText": "Fine &amp; loud",
    "summary": "good",
}


def write_lines(path: Path, records: list[dict[str, Any]], *, literal: bool = False) -> Path:
    text = "".join((repr(record) if literal else json.dumps(record)) + "\n" for record in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def reviews_2014() -> list[dict[str, Any]]:
    return [REVIEW_2014 | {"asin": f"B{day}", "unixReviewTime": 86_400 * (9 - day)} for day in range(3)]


def test_2014_with_literal_metadata(tmp_path: Path) -> None:
    write_lines(tmp_path / "reviews_Beauty_5.json.gz", reviews_2014())
    meta = [
        {
            "asin": "B1", "title": "Brush &amp; comb", "price": 12.5, "imUrl": "http://x/1.jpg",
            "brand": "OPI",
            "categories": [["Beauty", "Makeup"], ["Beauty", "Nails"]], "description": "It's good",
        },
        {"asin": "B1", "title": "again"},
        {"asin": "B2", "title": "Plain"},
        {"asin": "unseen", "title": "Unseen"},
    ]  # fmt: skip
    write_lines(tmp_path / "meta_Beauty.json.gz", meta, literal=True)
    dataset = import_from("amazon", tmp_path, tmp_path / "out", k_core=0)
    assert dataset.catalog.item_ids == ["B1", "B2", "B0"]
    assert dataset.catalog.item(0).attributes == {
        "title": "Brush & comb",
        "brand": "OPI",
        "categories": "Beauty, Makeup, Nails",
        "price": "12.5",
        "description": "It's good",
    }
    assert dataset.catalog.item(2).attributes == {}
    events = dataset.interactions.events
    assert events["timestamp"].to_list() == [604_800, 691_200, 777_600]
    assert events["review"][0] == "Fine & loud"
    assert events["summary"][0] == "good"
    assert dataset.manifest.counts["metadata_repeats"] == 1
    listed = pl.read_parquet(tmp_path / "out" / "pictures.parquet")
    assert listed.rows() == [("B1", 0, "http://x/1.jpg", True)]
    assert dataset.manifest.counts["items_without_metadata"] == 1


def test_2018_prices_and_lists(tmp_path: Path) -> None:
    write_lines(tmp_path / "Gift_5.json", reviews_2014())
    meta = [
        {"asin": "B0", "category": ["Gift", "Card"], "description": ["a", "b"], "price": "$1,299.00"},
        {"asin": "B1", "feature": ["soft", "warm"], "price": ".a-box-inner{background-color:#fff}"},
        {"asin": "B2", "brand": "", "description": []},
    ]
    write_lines(tmp_path / "meta_Gift.json", meta)
    dataset = import_from("amazon", tmp_path / "Gift_5.json", tmp_path / "out", k_core=0)
    assert [dataset.catalog.item(row).attributes for row in range(3)] == [
        {"categories": "Gift, Card", "price": "1299", "description": "a b"},
        {"features": "soft warm"},
        {},
    ]


def test_2023_has_milliseconds_and_parents(tmp_path: Path) -> None:
    records = [
        {
            "user_id": "U", "parent_asin": f"P{i}", "asin": f"C{i}", "rating": 4.0, "title": "T",
            "text": "words", "timestamp": 1_588_687_728_923 + i,
        }
        for i in range(3)
    ]  # fmt: skip
    write_lines(tmp_path / "All_Beauty.jsonl", records)
    images = [{"thumb": "https://x/t.jpg", "large": "https://x/l.jpg", "variant": "MAIN", "hi_res": None}]
    images += [{"large": None, "hi_res": "https://x/h.jpg"}]
    meta = [
        {"parent_asin": f"P{i}", "title": f"Thing {i}", "store": "Shop", "price": None, "images": images[:i]}
        for i in range(3)
    ]
    write_lines(tmp_path / "meta_All_Beauty.jsonl", meta)
    dataset = import_from("amazon", tmp_path, tmp_path / "out", k_core=0)
    assert dataset.interactions.events.row(0) == ("U", 0, 1_588_687_728, 4.0, "T", "words")
    assert dataset.catalog.item(1).attributes == {"title": "Thing 1", "brand": "Shop"}
    assert dataset.manifest.counts["pictures_on_the_web"] == 2
    listed = pl.read_parquet(tmp_path / "out" / "pictures.parquet")
    assert listed["reference"].to_list() == ["https://x/l.jpg", "https://x/l.jpg", "https://x/h.jpg"]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "P0.jpg").write_bytes(jpeg())
    own = import_from("amazon", tmp_path, tmp_path / "o2", k_core=0, pictures=tmp_path / "own")
    assert own.catalog.picture_references == ["P0.jpg", None, None]


def test_metadata_is_never_evaluated(tmp_path: Path) -> None:
    write_lines(tmp_path / "X_5.json", reviews_2014())
    trap = tmp_path / "trap"
    (tmp_path / "meta_X.json").write_text(f"{{'asin': open({str(trap)!r}, 'w').name}}\n")
    with pytest.raises(DataError, match=r"^meta_X\.json:1: malformed line"):
        import_from("amazon", tmp_path, tmp_path / "out", k_core=0)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"overall": 6}, r'^reviews_X\.json:2: rating is outside its scale: "6\.0"; the scale is 1 to 5'),
        ({"unixReviewTime": -5}, r"^reviews_X\.json:2: timestamp is not a time"),
        (
            {"overall": "five"},
            r"^reviews_X\.json:2: malformed line \(could not convert string to float: 'five'",
        ),
        ({"unixReviewTime": None}, r"^reviews_X\.json:2: malformed line"),
        ({"asin": None}, r"^reviews_X\.json:2: item_id is nothing"),
    ],
)
def test_a_bad_review(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    records = reviews_2014()
    records[1] |= change
    path = write_lines(tmp_path / "reviews_X.json", records)
    with pytest.raises(DataError, match=message):
        import_from("amazon", path, tmp_path / "out", k_core=0)


def test_the_choice_of_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no review file"):
        import_from("amazon", tmp_path, tmp_path / "out")
    for name in ("A_5.json", "B_5.json"):
        write_lines(tmp_path / name, reviews_2014())
    with pytest.raises(ConfigError, match=r"several review files; add --events A_5\.json \| B_5\.json"):
        import_from("amazon", tmp_path, tmp_path / "out")
    dataset = import_from("amazon", tmp_path, tmp_path / "out", events="B_5.json", k_core=0)
    assert "no metadata file: items have an id and nothing else" in dataset.manifest.notes
    with pytest.raises(DataError, match=r"absent\.json: no such file; correct --items"):
        import_from("amazon", tmp_path, tmp_path / "o", events="B_5.json", items="absent.json")
    with pytest.raises(DataError, match=r"absent\.json: no such file"):
        import_from("amazon", tmp_path, tmp_path / "o", events="absent.json")


@pytest.mark.data
def test_instruments(shared_data: Path, tmp_path: Path) -> None:
    counts = import_from("amazon", shared_data / "instruments", tmp_path / "out").manifest.counts
    assert (counts["users"], counts["items"], counts["events"]) == (1_429, 900, 10_261)


def test_lists_that_are_written_as_text_and_markup(tmp_path: Path) -> None:
    review = {"user_id": "u", "rating": 5, "text": "<br />Good &amp; loud"}
    reviews = [review | {"parent_asin": f"B{i}", "timestamp": 1_600_000_000_900 - 200 * i} for i in range(3)]
    (tmp_path / "Guitars.jsonl").write_text("".join(json.dumps(row) + "\n" for row in reviews))
    meta = {
        "parent_asin": "B0",
        "title": "Bass",
        "categories": '["Music", "Guitars, Basses", ""]',
        "features": "['loud', 'blue']",
    }
    (tmp_path / "meta_Guitars.jsonl").write_text(json.dumps(meta) + "\n")
    dataset = import_from("amazon", tmp_path, tmp_path / "out", k_core=0)
    row = dataset.catalog.row_of["B0"]
    assert dataset.catalog.items["categories"][row].to_list() == ["Music", "Guitars, Basses"]
    assert dataset.catalog.terms("categories", row) == ["Music", "Guitars, Basses"]
    assert dataset.catalog.texts["features"][row] == "loud blue"
    assert dataset.interactions.events["review"][0] == "Good & loud"
    # all in one second: the milliseconds decide
    ids = [dataset.catalog.item_ids[row] for row in dataset.interactions.events["item_row"]]
    assert ids == ["B2", "B1", "B0"]
