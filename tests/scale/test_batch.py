"""`unimp batch --engine ray` on two nodes: the local engine's answers, also when a node is killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from unimp.batch.job import BatchJob, parts_by_user, placed
from unimp.batch.lines import LINE, USER
from unimp.core.errors import ConfigError
from unimp.scale import batch, cluster

pytestmark = pytest.mark.filterwarnings("ignore")
"""Ray's own threads, sockets and processes outlive a test's end by a moment."""
PARTS = 6


@pytest.fixture(scope="module")
def job(make_run: Callable[[int], Path]) -> BatchJob:
    run = make_run(0)
    return BatchJob(run, None, "cpu", "recommendation", {"k": 5}, run.parent / "local")


@pytest.fixture(scope="module")
def parts(job: BatchJob) -> list[pl.DataFrame]:
    users = job.open().personalizer.run.dataset.interactions.histories.user_ids.tolist()
    lines = pl.DataFrame({LINE: range(1, len(users) + 1), USER: users}, schema_overrides={LINE: pl.UInt32})
    return parts_by_user(placed(lines), PARTS)


@pytest.fixture(scope="module")
def expected(job: BatchJob, parts: list[pl.DataFrame]) -> dict[str, bytes]:
    """The files of the local engine."""
    work = job.open()
    for number in job.unfinished(parts):
        job.finish(work, number, parts[number])
    return files_of(job)


def files_of(job: BatchJob) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(job.out.glob("part-*.parquet"))}


def elsewhere(job: BatchJob, out: Path) -> BatchJob:
    return BatchJob(job.run, job.data, job.device, job.task, job.options, out)


def test_a_killed_node_changes_no_byte(
    nodes: Any, job: BatchJob, parts: list[pl.DataFrame], expected: dict[str, bytes], tmp_path: Path
) -> None:
    """It is killed when the first part is there; the other node answers what it had."""
    found, workers = nodes
    own = elsewhere(job, tmp_path / "out")

    def kill() -> None:
        while not list(own.out.glob("part-*.parquet")):
            time.sleep(0.01)
        found.remove_node(workers[1])

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert batch.answer_parts(own, parts, None, show=False) == sum(bool(part.height) for part in parts)
    killer.join()
    assert len(found.worker_nodes) == 1
    assert files_of(own) == expected
    assert {path.name for path in own.out.iterdir()} == set(expected)
    next(own.out.glob("part-*.parquet")).unlink()
    assert batch.answer_parts(own, parts, None, show=False) == 1
    assert files_of(own) == expected


def test_a_worker_of_other_packages_is_refused(
    job: BatchJob, parts: list[pl.DataFrame], tmp_path: Path
) -> None:
    own = elsewhere(job, tmp_path / "out")
    worker = batch.PartWorker(own, cluster.versions() | {"torch": "1.0"})
    assert "has torch" in worker.answer(0)
    assert not own.out.exists()


def test_a_full_disk_is_one_line_and_nothing_half_written(
    job: BatchJob, parts: list[pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = elsewhere(job, tmp_path / "out")
    own.requests(0).parent.mkdir(parents=True)
    parts[0].write_parquet(own.requests(0))

    def full(_table: pl.DataFrame, target: Path, **_: Any) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    worker = batch.PartWorker(own, cluster.versions())
    assert "No space left on device" in worker.answer(0)
    assert [path.name for path in own.out.iterdir()] == ["requests"]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:99999"])
def test_an_address_that_does_not_answer_is_one_line(address: str) -> None:
    with pytest.raises(ConfigError, match=address), cluster.cluster(address):
        pass


def test_a_cluster_without_machines_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty:
        @staticmethod
        def cluster_resources() -> dict[str, float]:
            return {}

    monkeypatch.setattr(cluster, "LOST_SECONDS", 0.0)
    waiting = threading.Event()

    def rows() -> Iterator[int]:
        yield 1
        waiting.wait(30)

    with pytest.raises(ConfigError, match="no machine left"):
        list(cluster.watched(Empty, rows()))
    waiting.set()
