from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.csv_shop import import_from
from unimp.core.errors import ConfigError, DataError
from unimp.data.dataset import Dataset


def pasts(dataset: Dataset) -> dict[str, list[str]]:
    log, ids = dataset.interactions.histories, dataset.catalog.item_ids
    return {str(log.user_ids[user]): [ids[row] for row in log.items_of(user)] for user in range(len(log))}


def folder_of(folder: Path) -> Path:
    folder.mkdir()
    (folder / "ml.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "1\t10\t4.5\t881250949.0\n1\t20\t3\t881250940\n1\t10\t1\t881250999\n"
    )
    (folder / "ml.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tprice:float\tv:float_seq\n"
        "10\tToy Story\t1995\tAnimation Comedy\t2.5\t1 2\n20\tHeat\t\t\t\t\n"
    )
    return folder


def test_the_published_layout(tmp_path: Path) -> None:
    dataset = import_from("recbole", folder_of(tmp_path / "r"), tmp_path / "out")
    assert pasts(dataset) == {"1": ["20", "10", "10"]}
    scale = dataset.interactions.rating_scale
    assert scale is not None
    assert (scale.low, scale.high, scale.step) == (0.5, 5, 0.5)
    assert dataset.catalog.title == "movie_title"
    assert dataset.catalog.item(0).attributes == {
        "movie_title": "Toy Story", "release_year": "1995", "class": "Animation, Comedy", "price": "2.5"
    }  # fmt: skip
    assert dataset.catalog.item(1).attributes == {"movie_title": "Heat"}


def test_sessions_without_items_and_ratings(tmp_path: Path) -> None:
    file = tmp_path / "d.inter"
    file.write_text("session_id:token\titem_id:token\n" + "".join(f"s\t{item}\n" for item in (3, 1, 2)))
    dataset = import_from("recbole", file, tmp_path / "out")
    assert pasts(dataset) == {"s": ["3", "1", "2"]}
    assert dataset.interactions.rating_scale is None
    assert "no d.item: items have an id and nothing else" in dataset.manifest.notes


def test_bad_rows_and_missing_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "r")
    with (folder / "ml.inter").open("a") as file:
        file.write("1\t20\n")
    with pytest.raises(DataError, match=r"^ml\.inter:5: row has 2 field\(s\), expected 4"):
        import_from("recbole", folder, tmp_path / "out")
    assert import_from("recbole", folder, tmp_path / "out", max_bad_rows=1).manifest.counts["bad_rows"] == 1
    (folder / "b.inter").write_text("user,item\n1,2\n")
    with pytest.raises(ConfigError, match=r"several \.inter files; add --events b\.inter \| ml\.inter"):
        import_from("recbole", folder, tmp_path / "x")
    with pytest.raises(DataError, match=r'b\.inter:1: "user,item" is no header such as user_id:token'):
        import_from("recbole", folder, tmp_path / "x", events="b.inter")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"has no \.inter file"):
        import_from("recbole", tmp_path / "empty", tmp_path / "x")
