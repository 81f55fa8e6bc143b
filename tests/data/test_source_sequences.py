from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.csv_shop import import_from
from unimp.core.errors import ConfigError, DataError
from unimp.data.histories import NO_TIME

ITEMS = """item_id,asin,title,attributes
1,B1,Lacquer,OPI|Makeup|Nails
2,B2,Balm,Unknown|Skin Care|Face
3,B3,Palette,Makeup|Face
4,B4,,
"""


def test_sequences_with_items(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "sequences.txt").write_text("u1 3 1 2 4\n\nu2  2 1\n")
    (tmp_path / "other.txt").write_text("u1 B1\n")
    dataset = import_from("sequences", tmp_path, tmp_path / "out")
    assert [dataset.catalog.item(row).attributes for row in range(4)] == [
        {"title": "Lacquer", "brand": "OPI", "categories": "Makeup, Nails"},
        {"title": "Balm", "categories": "Skin Care, Face"},
        {"title": "Palette", "categories": "Makeup, Face"},
        {},
    ]
    log = dataset.interactions.histories
    assert [log.items_of(user).tolist() for user in range(2)] == [[2, 0, 1, 3], [1, 0]]
    assert (log.times == NO_TIME).all()
    assert dataset.interactions.rating_scale is None


def test_a_file_alone_is_a_catalogue_of_ids(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("u1 b a c\nu2 a\n")
    dataset = import_from("sequences", tmp_path / "log.txt", tmp_path / "out")
    assert dataset.catalog.item_ids == ["b", "a", "c"]
    assert dataset.catalog.attributes == ()
    assert dataset.catalog.label(0) == "b"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("u1 1 2 3\nu2\n", r'^log\.txt:2: user "u2" has no items'),
        ("u1 1 2 3\nu1 4\n", r'^log\.txt:2: user "u1" is on an earlier line too'),
        ("u1 1 2 3\nu2 9\n", r'^log\.txt:2: unknown item "9"'),
    ],
)
def test_a_bad_line(tmp_path: Path, lines: str, message: str) -> None:
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "log.txt").write_text(lines)
    with pytest.raises(DataError, match=message):
        import_from("sequences", tmp_path, tmp_path / "out")
    assert (
        import_from("sequences", tmp_path, tmp_path / "out", max_bad_rows=1).manifest.counts["bad_rows"] == 1
    )


def test_the_choice_of_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no \.txt file"):
        import_from("sequences", tmp_path, tmp_path / "out")
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("u1 1 2 3\n")
    with pytest.raises(ConfigError, match=r"several sequence files; add --events a\.txt \| b\.txt"):
        import_from("sequences", tmp_path, tmp_path / "out")
    assert import_from("sequences", tmp_path, tmp_path / "out", events="b.txt").manifest.counts["events"] == 3


@pytest.mark.data
def test_beauty(shared_data: Path, tmp_path: Path) -> None:
    dataset = import_from("sequences", shared_data / "beauty", tmp_path / "out")
    counts = dataset.manifest.counts
    assert (counts["users"], counts["items"], counts["events"]) == (22_363, 12_101, 198_502)
    assert dataset.catalog.item(0).attributes["brand"] == "OPI"
