"""`unimp data import --engine ray` on two nodes: the local import's bytes, also when a node is killed."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.data.test_event_log import random_log
from unimp.core.errors import ConfigError
from unimp.data import event_log, importing
from unimp.data.event_log import Rules, UserRange
from unimp.data.raw import ImportOptions
from unimp.scale import cluster
from unimp.scale.importing import RangeSorter, cluster_sorter

pytestmark = pytest.mark.filterwarnings("ignore")
"""Ray's own threads, sockets and processes outlive a test's end by a moment."""
OPTIONS = ImportOptions(k_core=3, deduplicate="exact")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tables whose log does not fit into the memory that an import allows itself."""
    folder = tmp_path / "shop"
    folder.mkdir()
    pl.DataFrame({"item_id": [f"item {number}" for number in range(15)]}).write_csv(folder / "items.csv")
    random_log(1).write_csv(folder / "events.csv")
    monkeypatch.setattr(event_log, "SPILL_BYTES", 5000)
    monkeypatch.setattr("unimp.data.csv_reading.BLOCK_BYTES", 3000)
    return folder


def test_a_killed_node_changes_no_byte(nodes: Any, shop: Path, tmp_path: Path) -> None:
    """It is killed when the first range of users is sorted; the other node sorts what it had."""
    found, workers = nodes
    expected = importing.import_folder("csv", shop, tmp_path / "local", OPTIONS)

    def kill() -> None:
        while not list(tmp_path.glob(".out.*.runs/sorted-*.parquet")):
            time.sleep(0.001)
        found.remove_node(workers[1])

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with cluster_sorter(None, show=False) as sort:
        manifest = importing.import_folder("csv", shop, tmp_path / "out", OPTIONS, sort=sort)
    killer.join()
    assert len(found.worker_nodes) == 1
    assert manifest == expected
    files = sorted(path.name for path in (tmp_path / "local").iterdir())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files
    for name in files:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local", "out", "shop"]


def test_what_goes_wrong_on_a_worker_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, target = tmp_path / "000000.parquet", tmp_path / "sorted.parquet"
    ranges = [UserRange((run,), 0, 5, Rules("none", ordered=True), target)]
    packages = cluster.versions()
    assert "has torch" in RangeSorter(ranges, packages | {"torch": "1.0"}).sort(0)["problem"]
    assert str(run) in RangeSorter(ranges, packages).sort(0)["problem"]
    columns = {"user": np.array([3, 1], dtype=np.uint32), "item_row": np.array([0, 1], dtype=np.uint32)}
    pl.DataFrame(columns).write_parquet(run)

    def full(_table: pl.DataFrame, path: Path, **_: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    assert "No space left on device" in RangeSorter(ranges, packages).sort(0)["problem"]
    assert list(tmp_path.iterdir()) == [run]


def test_a_failed_sort_leaves_nothing(shop: Path, tmp_path: Path) -> None:
    def lost(_ranges: Any) -> Any:
        raise ConfigError("worker on far: no space")

    with pytest.raises(ConfigError, match="worker on far"):
        importing.import_folder("csv", shop, tmp_path / "out", OPTIONS, sort=lost)
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]
