from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.data.csv_shop import import_from
from unimp.core.errors import ConfigError, DataError
from unimp.data.dataset import Dataset


def pasts(dataset: Dataset) -> dict[str, list[str]]:
    log, ids = dataset.interactions.histories, dataset.catalog.item_ids
    return {str(log.user_ids[user]): [ids[row] for row in log.items_of(user)] for user in range(len(log))}


WHEN = "Tue Nov 29 17:06:36 -0800 2016"
LATER = "Wed Nov 30 01:06:40 +0000 2016"


def folder_of(folder: Path) -> Path:
    folder.mkdir()
    shelves = [{"count": "9", "name": name} for name in ("to-read", "fantasy", "dragons")]
    books = [
        {"book_id": "1", "title": "Hoard (Saga, #1)", "title_without_series": "Hoard",
         "publication_year": "2001", "num_pages": "", "popular_shelves": shelves, "image_url": "https://i.example/1.jpg",
         "language_code": "eng", "publisher": "Press", "description": "Gold."},
        {"book_id": "2", "title": "Mirror", "image_url": "https://s.example/nophoto/book/x.png"},
    ]  # fmt: skip
    said = [("a", "2", 0, LATER), ("a", "1", 5, WHEN), ("a", "2", 3, LATER)]
    with gzip.open(folder / "goodreads_books_fantasy.json.gz", "wt") as file:
        file.writelines(json.dumps(book) + "\n" for book in books)
    with gzip.open(folder / "goodreads_interactions_fantasy.json.gz", "wt") as file:
        for user, book, stars, when in said:
            row = {
                "user_id": user,
                "book_id": book,
                "rating": stars,
                "date_added": when,
                "review_text": " Well. ",
            }
            file.write(json.dumps(row) + "\n")
    return folder


def test_the_published_layout(tmp_path: Path) -> None:
    dataset = import_from("goodreads", folder_of(tmp_path / "g"), tmp_path / "out", k_core=0)
    assert pasts(dataset) == {"a": ["1", "2", "2"]}
    assert dataset.interactions.events["rating"].to_list() == [5, None, 3]
    times = dataset.interactions.events["timestamp"].to_list()
    assert times[1] - times[0] == 4
    assert dataset.interactions.events["review"][0] == "Well."
    assert dataset.catalog.item(0).attributes == {
        "title": "Hoard", "publisher": "Press", "language": "eng", "year": "2001",
        "shelves": "fantasy, dragons", "description": "Gold.",
    }  # fmt: skip
    assert dataset.manifest.counts["pictures_on_the_web"] == 1


def test_the_full_log_is_a_csv_whose_books_have_other_numbers(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "g")
    (folder / "goodreads_interactions_fantasy.json.gz").unlink()
    rows = "0,7,1,5,0\n0,8,1,0,0\n0,7,0,3,1\n"
    (folder / "goodreads_interactions.csv").write_text("user_id,book_id,is_read,rating,is_reviewed\n" + rows)
    with pytest.raises(DataError, match=r"has no book_id_map\.csv, which goodreads_interactions\.csv needs"):
        import_from("goodreads", folder, tmp_path / "out", k_core=0)
    (folder / "book_id_map.csv").write_text("book_id_csv,book_id\n7,1\n8,2\n")
    dataset = import_from("goodreads", folder, tmp_path / "out", k_core=0)
    assert sorted(pasts(dataset)["0"]) == ["1", "1", "2"]
    events = dataset.interactions.events
    assert sorted(rating or 0 for rating in events["rating"]) == [0, 3, 5]
    assert events["timestamp"].null_count() == 3
    assert any(note.startswith("no times: ") for note in dataset.manifest.notes)


def test_reviews_marked_for_spoilers_have_days(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "g")
    (folder / "goodreads_interactions_fantasy.json.gz").unlink()
    days = [("2", "2017-08-30"), ("1", "2017-03-22"), ("2", "2017-08-31")]
    lines = [
        {"user_id": "a", "timestamp": day, "review_sentences": [[0, "Gold."]], "rating": 5,
         "has_spoiler": False, "book_id": book, "review_id": "r"}
        for book, day in days
    ]  # fmt: skip
    (folder / "goodreads_reviews_spoiler.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    dataset = import_from("goodreads", folder, tmp_path / "out", k_core=0)
    assert pasts(dataset) == {"a": ["1", "2", "2"]}


def test_bad_rows_and_missing_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "g")
    (folder / "goodreads_reviews_fantasy.json").write_text('{"user_id": "a", "book_id": "1"}\n')
    with pytest.raises(ConfigError, match="several files; add --events goodreads_interactions_fantasy"):
        import_from("goodreads", folder, tmp_path / "out")
    with pytest.raises(DataError, match=r'^goodreads_reviews_fantasy\.json:1: has no field "rating"'):
        import_from("goodreads", folder, tmp_path / "out", events="goodreads_reviews_fantasy.json", k_core=0)
    (folder / "goodreads_books_fantasy.json.gz").unlink()
    with pytest.raises(DataError, match=r"has no goodreads_books\*\.json or \.json\.gz"):
        import_from("goodreads", folder, tmp_path / "out")
