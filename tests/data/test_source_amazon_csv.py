from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data.csv_shop import import_from
from unimp.core.errors import ConfigError, DataError
from unimp.data.dataset import Dataset


def pasts(dataset: Dataset) -> dict[str, list[str]]:
    log, ids = dataset.interactions.histories, dataset.catalog.item_ids
    return {str(log.user_ids[user]): [ids[row] for row in log.items_of(user)] for user in range(len(log))}


HEADER = "user_id,parent_asin,rating,timestamp,history\n"


def splits(folder: Path) -> Path:
    folder.mkdir()
    parts = {
        "train": "u1,B1,5.0,1000,\nu2,B2,1.0,3000,\nu1,B2,4.0,2500,B1\n",
        "valid": "u1,B3,3.0,2700,B1 B2\n",
        "test": "u1,B1,2.0,9000,B1 B2 B3\n",
    }
    for name, rows in parts.items():
        (folder / f"Toys.{name}.csv").write_text(HEADER + rows)
    (folder / "meta_Toys.jsonl").write_text(
        json.dumps({"parent_asin": "B1", "title": "Cup &amp; saucer", "store": "Acme", "price": "$4.50"})
        + "\n"
    )
    return folder


def test_the_published_splits_are_one_log(tmp_path: Path) -> None:
    dataset = import_from("amazon-csv", splits(tmp_path / "a"), tmp_path / "out", k_core=0)
    assert pasts(dataset) == {"u1": ["B1", "B2", "B3", "B1"], "u2": ["B2"]}
    assert dataset.interactions.events["timestamp"].to_list() == [1, 2, 2, 9, 3]
    assert dataset.catalog.item(0).attributes == {"title": "Cup & saucer", "brand": "Acme", "price": "4.5"}
    assert dataset.manifest.counts["items_without_metadata"] == 2


def test_ratings_only(tmp_path: Path) -> None:
    file = tmp_path / "Toys.csv"
    file.write_text(
        "user_id,parent_asin,rating,timestamp\n" + "".join(f"u,B{n},5,{n}000\n" for n in range(4))
    )
    dataset = import_from("amazon-csv", file, tmp_path / "out", k_core=0)
    assert pasts(dataset) == {"u": ["B0", "B1", "B2", "B3"]}
    assert "no metadata file: items have an id and nothing else" in dataset.manifest.notes


def test_bad_rows_and_missing_files(tmp_path: Path) -> None:
    folder = splits(tmp_path / "a")
    with (folder / "Toys.test.csv").open("a") as file:
        file.write("u1,B2,9,9100,\n")
    with pytest.raises(DataError, match=r"^Toys\.test\.csv:3: rating is outside its scale"):
        import_from("amazon-csv", folder, tmp_path / "out", k_core=0)
    assert import_from("amazon-csv", folder, tmp_path / "out", k_core=0, max_bad_rows=1)
    (folder / "Books.csv").write_text(HEADER)
    with pytest.raises(ConfigError, match=r"several sets of ratings; add --events Books \| Toys"):
        import_from("amazon-csv", folder, tmp_path / "x", k_core=0)
    with pytest.raises(DataError, match=r"has no ratings \(Games\)"):
        import_from("amazon-csv", folder, tmp_path / "x", events="Games")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"has no ratings \(NAME\.csv or NAME\.train\.csv\)"):
        import_from("amazon-csv", tmp_path / "empty", tmp_path / "x")
