"""The rules that every source shares, on a small shop in CSV tables."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.csv_shop import MAPPING, CsvShop, import_csv, shop
from unimp.core.errors import DataError
from unimp.data.dataset import Dataset


def histories(dataset: Dataset) -> dict[str, list[str]]:
    ids = dataset.catalog.item_ids
    log = dataset.interactions.histories
    return {str(log.user_ids[user]): [ids[row] for row in log.items_of(user)] for user in range(len(log))}


def with_events(*events: tuple[str, str, str]) -> CsvShop:
    return replace(shop(), events=tuple((*event, "3", "") for event in events))


def test_the_whole_way(shop_folder: Path, tmp_path: Path) -> None:
    dataset = import_csv(shop_folder, tmp_path / "out")
    assert histories(dataset) == {f"u{user}": ["00", "01", "02", "03"] for user in range(4)}
    item = dataset.catalog.item(1)
    assert item.attributes == {"title": "Shirt 1", "colour": "green", "price": "1.5"}
    assert item.picture == "img/1.jpg"
    assert dataset.interactions.events["rating"].to_list()[:4] == [1, 2, 3, 4]
    assert dataset.interactions.events["timestamp"].to_list()[:2] == [86_400, 172_800]
    assert dataset.manifest.counts["items_dropped"] == 1
    assert "1 item(s) without an event left out of the catalogue" in dataset.manifest.notes
    assert dataset.manifest.options["map"] == list(MAPPING)


def test_users_keep_their_first_appearance_and_ties_the_order_of_the_file(tmp_path: Path) -> None:
    events = [("b", "03", "9"), ("a", "00", "5"), ("b", "02", "1"), ("a", "02", "5"), ("a", "01", "5")]
    folder = with_events(*events).write(tmp_path / "shop")
    assert histories(import_csv(folder, tmp_path / "out")) == {"b": ["02", "03"], "a": ["00", "02", "01"]}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("none", ["00", "01", "00", "02"]), ("first", ["00", "01", "02"]), ("last", ["01", "00", "02"])],
)
def test_repeats(tmp_path: Path, rule: str, expected: list[str]) -> None:
    events = [("a", "02", "4"), ("a", "00", "3"), ("a", "01", "2"), ("a", "00", "1")]
    folder = with_events(*events).write(tmp_path / "shop")
    dataset = import_csv(folder, tmp_path / "out", deduplicate=rule)
    assert histories(dataset)["a"] == expected
    assert dataset.manifest.counts["repeats_dropped"] == 4 - len(expected)


def test_k_core_drops_rare_items_and_the_catalogue_follows(tmp_path: Path) -> None:
    base = shop()
    rare = replace(base, events=(*base.events, ("u0", "04", "1", "3", "")))
    folder = rare.write(tmp_path / "shop")
    dataset = import_csv(folder, tmp_path / "core", k_core=2)
    assert dataset.catalog.item_ids == ["00", "01", "02", "03"]
    assert dataset.manifest.counts["below_core_dropped"] == 1
    everything = import_csv(folder, tmp_path / "all", k_core=2, keep_unseen_items=True)
    assert everything.catalog.item_ids == ["00", "01", "02", "03", "04"]
    assert everything.manifest.counts["unseen_items"] == 1
    with pytest.raises(DataError, match=r"nothing left of 17 events after the 9-core; lower --k-core"):
        import_csv(folder, tmp_path / "none", k_core=9)


def test_short_histories_are_counted_and_nobody_long_enough_is_an_error(tmp_path: Path) -> None:
    folder = with_events(("a", "00", "1"), ("b", "00", "1"), ("b", "01", "2"), ("b", "02", "3")).write(
        tmp_path / "shop"
    )
    dataset = import_csv(folder, tmp_path / "out")
    assert dataset.manifest.counts["users_under_3_events"] == 1
    assert any("fewer than 3 events" in note for note in dataset.manifest.notes)
    folder = with_events(("a", "00", "1"), ("b", "00", "1"), ("b", "01", "2")).write(tmp_path / "short")
    with pytest.raises(DataError, match=r"no user has 3 events \(the longest history has 2\)"):
        import_csv(folder, tmp_path / "none")


BAD_VALUES = [
    ("events", 3, 1, "99", r'events\.csv:3: unknown item "99"; check the id'),
    ("events", 3, 1, "1", r'events\.csv:3: unknown item "1"; the catalogue has "01": read ids as text'),
    ("events", 3, 1, "", r"events\.csv:3: item_id is nothing; every row needs one"),
    ("events", 4, 0, " ", r"events\.csv:4: user_id is nothing; every row needs one"),
    ("events", 5, 2, "soon", r'events\.csv:5: timestamp is not a time: "soon"; expected a date or time'),
    ("events", 6, 3, "6", r'events\.csv:6: rating is outside its scale: "6"; the scale is 1 to 5'),
    ("items", 3, 0, "00", r'items\.csv:3: duplicate item id "00"; delete one of the rows'),
    ("items", 3, 3, "cheap", r'items\.csv:3: price is not a number: "cheap"; correct it or leave it empty'),
]  # fmt: skip


@pytest.mark.parametrize(("table", "row", "column", "value", "message"), BAD_VALUES)
def test_a_bad_value_is_named_and_nothing_is_written(
    tmp_path: Path, table: str, row: int, column: int, value: str, message: str
) -> None:
    folder = shop().but(table, row, column, value).write(tmp_path / "shop")
    with pytest.raises(DataError, match="^" + message) as raised:
        import_csv(folder, tmp_path / "made" / "out")
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_allowed_bad_rows_are_dropped_counted_and_said(tmp_path: Path) -> None:
    broken = shop().but("events", 3, 1, "99").but("events", 6, 3, "6").but("events", 8, 2, "soon")
    folder = broken.write(tmp_path / "shop")
    with pytest.raises(DataError, match=r"\(3 bad rows, 2 allowed: 1 × .*; then events\.csv:6: .*; events"):
        import_csv(folder, tmp_path / "out", max_bad_rows=2)
    dataset = import_csv(folder, tmp_path / "out", max_bad_rows=3)
    assert dataset.manifest.counts["bad_rows"] == 3
    assert dataset.manifest.counts["events"] == 13
    assert any(re.match(r"3 bad row\(s\) dropped, the first: events\.csv", n) for n in dataset.manifest.notes)


def test_an_id_that_gained_a_zero_is_explained(tmp_path: Path) -> None:
    folder = shop().but("items", 3, 0, "1").but("items", 3, 1, "One").write(tmp_path / "shop")
    with pytest.raises(
        DataError, match='unknown item "01"; the catalogue has "1", which lost a leading zero'
    ):
        import_csv(folder, tmp_path / "out")


def test_empty_tables(tmp_path: Path) -> None:
    folder = replace(shop(), items=()).write(tmp_path / "no-items")
    with pytest.raises(DataError, match=r"^items\.csv: empty catalogue"):
        import_csv(folder, tmp_path / "out")
    folder = replace(shop(), events=()).write(tmp_path / "no-events")
    with pytest.raises(DataError, match=r"^events\.csv: no usable event"):
        import_csv(folder, tmp_path / "out")


def test_a_missing_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: no such file or folder; check the path"):
        import_csv(tmp_path / "absent", tmp_path / "out")
