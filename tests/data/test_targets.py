"""Targets that cannot be hit are counted and said: by the import, the check, and by whoever judges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.data.csv_shop import CsvShop, import_csv, import_from, shop
from unimp.data.check import check_dataset, report_lines
from unimp.data.histories import Cases, Histories
from unimp.data.splits import held_out_tests, leave_one_out
from unimp.data.targets import count_targets, in_history


def cases(*asked: tuple[list[int], int]) -> Cases:
    return Cases(
        Histories.from_lists([past for past, _ in asked]),
        np.array([target for _, target in asked]),
        np.full(len(asked), -1),
    )


def test_counts_by_hand() -> None:
    asked = cases(([1, 2, 3], 2), ([1, 2, 3], 3), ([], 0), ([4], 5), ([1], -1))
    assert in_history(asked).tolist() == [True, True, False, False, False]
    counts = count_targets(asked)
    assert (counts.cases, counts.in_history, counts.same_as_last, counts.outside_catalogue) == (5, 2, 1, 1)
    assert counts.repeat_share == 0.4
    repeats, outside = counts.words("test", masked=True)
    assert repeats.startswith("2 of 5 test targets are in the user's own history: certain misses while it is")
    assert "--keep-history" in repeats
    assert outside == ("1 of 5 test targets are outside the catalogue: certain misses; import the items too")
    assert counts.words("test", masked=False)[0] == "2 of 5 test targets are in the user's own history"


def test_nothing_is_said_where_all_can_be_hit() -> None:
    counts = count_targets(cases(([1, 2], 3), ([2], 1)))
    assert counts.words("test", masked=True) == ()
    assert count_targets(cases()).repeat_share == 0.0


def test_the_test_item_that_is_the_validation_item() -> None:
    said = count_targets(cases(([1, 2], 2), ([2, 4], 4), ([2, 4], 1))).words("test", masked=True)
    assert said[1].startswith("2 of 3 test targets are the very item of the event before: check that")


def test_the_cases_counted_are_those_of_leave_one_out() -> None:
    log = Histories.from_lists([[1, 2, 1], [1, 1], [0, 1, 2, 3], [2]])
    split, held = leave_one_out(log, 4), held_out_tests(log)
    assert held.target_rows.tolist() == split.test.target_rows.tolist() == [1, 3]
    assert count_targets(split.test).in_history == 1
    assert count_targets(split.valid).in_history == 0


def staples() -> CsvShop:
    """Three users buy items 00 and 01 in turn; a fourth buys four different ones."""
    days = [(f"u{user}", f"0{day % 2}", str(86_400 * day), "", "") for user in range(3) for day in range(5)]
    others = [("u3", f"0{item}", str(86_400 * item), "", "") for item in range(4)]
    return replace(shop(), events=(*days, *others))


def test_the_import_and_the_check_say_what_to_do(tmp_path: Path) -> None:
    folder = staples().write(tmp_path / "shop")
    dataset = import_csv(folder, tmp_path / "out")
    (note,) = [note for note in dataset.manifest.notes if "targets" in note]
    assert note.startswith("3 of 4 test targets are in the user's own history: certain misses while it is")
    report = check_dataset(tmp_path / "out")
    assert report.test_targets.in_history == 3
    assert note in list(report_lines(report))
    once = import_csv(folder, tmp_path / "once", deduplicate="first")
    assert not [note for note in once.manifest.notes if "targets" in note]
    lines = list(report_lines(check_dataset(tmp_path / "once")))
    assert "test targets (leave-one-out): 1, none in the user's own history" in lines


def llmrec(folder: Path, valid: dict[str, list[int]], test: dict[str, list[int]]) -> Path:
    folder.mkdir()
    (folder / "item_attribute.csv").write_text("".join(f"{item},2000,Film {item}\n" for item in range(8)))
    lists = {"train": {"a": [0, 1, 2], "b": [3, 4, 5]}, "val": valid, "test": test}
    for name, content in lists.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_netflix_lists_that_are_published_twice_count_once(tmp_path: Path) -> None:
    folder = llmrec(tmp_path / "twice", {"a": [6], "b": [7, 0]}, {"a": [6], "b": [7]})
    dataset = import_from("netflix", folder, tmp_path / "out")
    split = leave_one_out(dataset.interactions.histories, len(dataset.catalog))
    ids = dataset.catalog.item_ids
    assert [ids[row] for row in split.test.target_rows] == ["6", "7"]
    assert [ids[row] for row in split.valid.target_rows] == ["2", "0"]
    assert dataset.manifest.counts["validation_copies_dropped"] == 2
    assert any(
        note.startswith("2 of 3 event(s) of val.json are in test.json") for note in dataset.manifest.notes
    )


def test_netflix_lists_that_differ_stay(tmp_path: Path) -> None:
    folder = llmrec(tmp_path / "right", {"a": [6], "b": [7]}, {"a": [7], "b": [6]})
    dataset = import_from("netflix", folder, tmp_path / "out")
    assert "validation_copies_dropped" not in dataset.manifest.counts
    assert not [note for note in dataset.manifest.notes if "val.json" in note]
