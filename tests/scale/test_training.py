"""`unimp train --engine ray`: two workers; a node is killed, another one takes its place or none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from tests.scale.conftest import connected_cluster, ring_recipe, start_node
from tests.train.test_run import log_of
from unimp import load
from unimp.core.errors import CheckpointError, ConfigError
from unimp.core.files import read_tensors
from unimp.data.dataset import Dataset
from unimp.runs.folder import BEST, SHARDED_STATE
from unimp.runs.lock import RunLock
from unimp.runs.recipe import Recipe
from unimp.scale import cluster, training
from unimp.scale.training import TrainingJob, train_on_cluster, training_job, when_free, work

pytestmark = pytest.mark.filterwarnings("ignore")
"""Ray's own threads, sockets and processes outlive a test's end by a moment."""
EPOCHS = 3
SETTINGS = {"epochs": EPOCHS, "patience": EPOCHS, "checkpoint_seconds": 1e-9}
ROOT = Path(__file__).parents[2]
Softmax = Literal["full", "sampled"]


def recipe_with(softmax: Softmax) -> Recipe:
    recipe = ring_recipe(**SETTINGS)
    changed = {"softmax": softmax, "negatives": 6}
    return recipe.model_copy(update={"objective": recipe.objective.model_copy(update=changed)})


def job_of(ring: Dataset, out: Path, workers: int = 2, softmax: Softmax = "full") -> TrainingJob:
    return training_job(ring.folder, recipe_with(softmax), out, torch.device("cpu"), workers)


def under_torchrun(ring: Dataset, softmax: Softmax, folder: Path) -> Path:
    """The run of two processes that torchrun starts."""
    folder.mkdir()
    tables = recipe_with(softmax).model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    lines = [f"{key} = {json.dumps(value)}" for key, value in tables.items() if not isinstance(value, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    (folder / "test.toml").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "unimp.cli.main", "train", "--recipe", str(folder / "test.toml"), "--device", "cpu"]
    command += ["--data", str(ring.folder), "--out", str(folder / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr[-6000:]
    return folder / "run"


def trained(job: TrainingJob, act: Callable[[], object]) -> dict[str, Any]:
    """The result; `act` is called when the run's first state has been written. Ray starts nodes in the main
    thread alone, so the training has another one."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(train_on_cluster, job, None, show=False)
        while not (job.out / SHARDED_STATE).exists() and not running.done():
            time.sleep(0.01)
        act()
        return running.result()


@pytest.fixture(scope="module")
def shared() -> Iterator[Any]:
    """One cluster for the tests of this file."""
    with connected_cluster() as found:
        yield found


@pytest.fixture
def team(shared: Any) -> Any:
    """The cluster with two nodes of one core."""
    while len(shared.worker_nodes) < 2:
        start_node(shared)
    return shared


def some_node(team: Any) -> Any:
    return next(iter(team.worker_nodes))


@pytest.mark.parametrize("softmax", ["full", "sampled"])
def test_training_goes_on_after_a_node_is_lost(
    softmax: Softmax, team: Any, ring: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node goes when a first state is written; with the new one the run ends as an undisturbed one of
    two local processes: the same weights (1e-6 for other orders of summation), the same validation. With
    the sampled softmax the lost worker held the whole identity table and its moments, too."""
    monkeypatch.setattr(cluster, "LOST_SECONDS", 600.0)  # a busy machine starts the new node in minutes
    undisturbed = under_torchrun(ring, softmax, tmp_path / "torchrun")
    out = tmp_path / "cluster" / "run"

    def replace_node() -> None:
        team.remove_node(some_node(team))
        start_node(team)

    result = trained(job_of(ring, out, softmax=softmax), replace_node)
    assert (result["processes"], result["epochs"]) == (2, EPOCHS)
    assert [path.name for path in out.parent.iterdir()] == ["run"]
    weights, expected = (read_tensors(folder / BEST)[0] for folder in (out, undisturbed))
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-6)
    assert [row["valid"] for row in log_of(out)] == [row["valid"] for row in log_of(undisturbed)]
    assert load(out).recommend(history=["i03"], k=3).items


def test_more_workers_than_cores_are_refused(team: Any, ring: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--workers 3: the cluster has 2 CPU"):
        train_on_cluster(job_of(ring, tmp_path / "run", 3), None, show=False)


def test_what_is_wrong_on_a_worker_ends_the_training_with_one_line(
    team: Any, ring: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "MOST_FAILURES", 0)
    job = job_of(ring, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"worker on .* has torch .*, the command 1\.0"):
        train_on_cluster(replace(job, packages=job.packages | {"torch": "1.0"}), None, show=False)
    assert not list(tmp_path.iterdir())


def test_a_node_lost_for_good_is_one_line_and_the_state_stays(
    team: Any, ring: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LOST_SECONDS", 5.0)
    monkeypatch.setattr(training, "MOST_FAILURES", 1)
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"1 CPU\(s\) left of 2; start a machine and run the same"):
        trained(job_of(ring, out), lambda: team.remove_node(some_node(team)))
    assert (out / SHARDED_STATE).exists()
    assert not (out / "result.json").exists()


def test_a_lost_workers_lock_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is free, and no longer than LOST_SECONDS."""
    lost = RunLock(tmp_path)
    lost.__enter__()
    timer = threading.Timer(1.0, lambda: lost.__exit__(None, None, None))
    timer.start()

    def begin() -> None:
        with RunLock(tmp_path):
            begun.append(1)

    begun: list[int] = []
    when_free(begin)
    assert begun == [1]
    timer.join()
    monkeypatch.setattr(training, "LOST_SECONDS", 0.0)
    with RunLock(tmp_path), pytest.raises(CheckpointError, match="is training there"):
        when_free(begin)


def test_a_worker_whose_command_has_ended_trains_nothing(ring: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has ended"):
        work(job_of(ring, tmp_path / "run"), tmp_path / "gone")
    assert not list(tmp_path.iterdir())
