from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.csv_shop import import_csv, shop
from unimp.core.errors import DataError
from unimp.data.check import check_dataset, report_lines


def test_every_figure_by_hand(tmp_path: Path) -> None:
    events = (
        ("a", "00", "10", "5", "fine"),
        ("a", "01", "10", "5", ""),  # tied with the event before
        ("a", "00", "20", "1", ""),  # a repeat
        ("b", "00", "10", "", ""),
    )
    folder = replace(shop(), events=events).write(tmp_path / "shop")
    import_csv(folder, tmp_path / "out", keep_unseen_items=True)
    report = check_dataset(tmp_path / "out")
    assert (report.users, report.items, report.events, report.queries) == (2, 5, 4, 0)
    assert report.history_length == {
        "min": 1, "p25": 1.5, "median": 2, "p75": 2.5, "p95": 2.9, "max": 3, "mean": 2,
    }  # fmt: skip
    assert report.users_under_3_events == 1
    assert report.items_without_events == 3
    assert report.duplicate_events == 1
    assert (report.tied_events, report.users_with_ties) == (1, 1)
    assert (report.first_time, report.last_time) == (10, 20)
    assert report.ratings == {"1": 1, "5": 2}
    assert report.events_without_rating == 1
    assert report.events_with_review == 1
    assert report.missing_pictures == 1
    assert report.missing_attributes == {"title": 0, "colour": 0, "price": 1}
    assert (report.checked_pictures, report.undecodable_pictures) == (4, ())
    assert report.passed
    assert any("ties in time: 1 events of 1 users" in line for line in report_lines(report))


def test_without_decoding(shop_folder: Path, tmp_path: Path) -> None:
    import_csv(shop_folder, tmp_path / "out")
    assert check_dataset(tmp_path / "out", decode=False).checked_pictures == 0


def test_changed_files_fail(shop_folder: Path, tmp_path: Path) -> None:
    import_csv(shop_folder, tmp_path / "out")
    with (tmp_path / "out" / "interactions.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"interactions\.parquet: content does not match"):
        check_dataset(tmp_path / "out")
