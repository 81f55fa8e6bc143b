from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from unimp.data import event_log, importing
from unimp.data.csv_reading import BLOCK_BYTES
from unimp.data.dataset import Dataset
from unimp.data.event_log import EventLog, Rules
from unimp.data.filtering import k_core
from unimp.data.raw import ImportOptions


def random_log(seed: int, users: int = 40, items: int = 15, events: int = 3000) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "user_id": [f"user {n}" for n in (rng.random(events) ** 2 * users).astype(int)],
            "item_id": [f"item {n}" for n in (rng.random(events) ** 2 * items).astype(int)],
            "timestamp": rng.integers(0, 300, events),
            "rating": rng.integers(1, 6, events),
        }
    )


def parts(log: pl.DataFrame, size: int) -> Iterator[pl.DataFrame]:
    return log.with_columns(
        pl.col("item_id").str.slice(5).cast(pl.UInt32).alias("item_row"),
        pl.col("timestamp").cast(pl.Datetime("us")),
    ).iter_slices(size)


@pytest.mark.parametrize("spilled", [False, True])
def test_users_by_first_appearance_each_in_time_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spilled: bool
) -> None:
    if spilled:
        monkeypatch.setattr(event_log, "SPILL_BYTES", 4000)
    table = random_log(0)
    with EventLog(15, tmp_path / "out") as log:
        for part in parts(table, 70):
            log.add(part)
        found = log.sorted(Rules("none", ordered=True))
        assert bool(list(tmp_path.iterdir())) == spilled
        tables = list(found.tables(np.arange(15)))
        assert len(tables) > 5 if spilled else len(tables) == 1
        result = pl.concat(tables)
    assert list(tmp_path.iterdir()) == []
    order = table["user_id"].unique(maintain_order=True).to_list()
    expected = sorted(table.rows(), key=lambda row: (order.index(row[0]), row[2]))
    assert result["user_id"].to_list() == [row[0] for row in expected]
    assert result["item_row"].to_list() == [int(row[1][5:]) for row in expected]
    assert result["rating"].to_list() == [row[3] for row in expected]


@pytest.mark.parametrize(
    "options", [{}, {"k_core": 60}, {"deduplicate": "last"}, {"deduplicate": "exact", "k_core": 3}]
)
def test_runs_on_disk_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    pl.DataFrame({"item_id": [f"item {n}" for n in range(15)]}).write_csv(folder / "items.csv")
    random_log(1).write_csv(folder / "events.csv")

    def imported(name: str) -> Dataset:
        return importing.import_dataset("csv", folder, tmp_path / name, ImportOptions.parse(options, "test"))

    whole = imported("whole")
    monkeypatch.setattr(event_log, "SPILL_BYTES", 5000)
    monkeypatch.setattr(event_log, "TABLE_ROWS", 100)
    monkeypatch.setattr("unimp.data.csv_reading.BLOCK_BYTES", 3000)
    spilled = imported("spilled")
    assert spilled.interactions.events.equals(whole.interactions.events)
    assert spilled.catalog.items.equals(whole.catalog.items)
    assert spilled.manifest.counts == whole.manifest.counts
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop", "spilled", "whole"]
    assert BLOCK_BYTES > 3000


def test_the_core_is_found_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "SPILL_BYTES", 4000)
    table = random_log(2, users=200, items=60, events=900)
    with EventLog(60, tmp_path / "out") as log:
        for part in parts(table, 90):
            log.add(part)
        found = log.sorted(Rules("none", ordered=True))
        dropped = found.keep_core(6)
        kept = pl.concat(found.tables(np.arange(60)))
        lengths = found.user_lengths()
    users = table["user_id"].str.slice(5).cast(pl.Int64).to_numpy()
    expected = table.filter(
        pl.Series(k_core(users, table["item_id"].str.slice(5).cast(pl.Int64).to_numpy(), 6))
    )
    assert 0 < expected.height == kept.height == found.events == 900 - dropped
    assert sorted(kept["user_id"]) == sorted(expected["user_id"])
    assert sorted(length for length in lengths if length) == sorted(
        expected["user_id"].value_counts()["count"]
    )


def test_ids_keep_their_number_when_tables_are_gone(tmp_path: Path) -> None:
    with EventLog(1, tmp_path / "out") as log:
        for user in ["a", "b", "a", "c", "b"]:
            log.add(pl.DataFrame({"user_id": [user], "item_row": [0]}))
        assert log.user_ids().to_list() == ["a", "b", "c"]
        assert log.user_events.tolist() == [2, 2, 1]


def test_an_import_that_fails_leaves_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "SPILL_BYTES", 100)
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "items.csv").write_text("item_id\na\nb\n")
    (folder / "events.csv").write_text(
        "user_id,item_id,timestamp\n" + "".join(f"u{n},a,{n}\n" for n in range(50)) + "u,c,1\n"
    )
    with pytest.raises(Exception, match="unknown item"):
        importing.import_dataset("csv", folder, tmp_path / "out", ImportOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]
