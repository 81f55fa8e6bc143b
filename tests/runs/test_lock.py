"""A run folder has one trainer at a time, and a refused run leaves nothing behind."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.train.conftest import tiny_dataset, tiny_recipe  # noqa: F401 - a fixture
from unimp.core.errors import CheckpointError, ConfigError
from unimp.data.dataset import Dataset
from unimp.data.histories import Histories
from unimp.features import item_graph
from unimp.fusion.structure import StructureConfig
from unimp.runs.folder import RUN
from unimp.runs.lock import LOCK, RunLock
from unimp.train.training_run import train

HOLD = """
import sys
from pathlib import Path
from unimp.runs.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_who_trains(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    who = rf"process {holder.pid} on {socket.gethostname()}, since .* UTC, is training there; wait for it"
    with pytest.raises(CheckpointError, match=who), RunLock(tmp_path):
        pass
    holder.kill()  # no time to tidy up: the file stays, the lock does not
    holder.communicate()
    assert (tmp_path / LOCK).exists()
    with RunLock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_where_the_file_system_cannot_lock_the_process_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / LOCK).write_text(json.dumps({"pid": os.getppid(), "host": socket.gethostname()}))
    with pytest.raises(CheckpointError, match=rf"process {os.getppid()} on"), RunLock(tmp_path):
        pass
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / LOCK).write_text(json.dumps({"pid": ended.pid, "host": socket.gethostname()}))
    with RunLock(tmp_path):
        pass
    (tmp_path / LOCK).write_text("half a li")
    with RunLock(tmp_path):
        pass


def test_training_refuses_a_folder_where_another_trains(
    tiny_dataset: Dataset,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with RunLock(folder), pytest.raises(CheckpointError, match="is training there"):
        train(tiny_dataset, tiny_recipe(), folder, show=False)
    result = train(tiny_dataset, tiny_recipe(train={"epochs": 1}), folder, show=False)
    assert result["epochs"] == 1
    assert not (folder / LOCK).exists()


def test_a_refused_run_leaves_no_folder(
    tiny_dataset: Dataset,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder, wrong = tmp_path / "run", tiny_recipe(vision={"resampler": 5000})
    with pytest.raises(ConfigError, match="resampler"):
        train(tiny_dataset, wrong, folder, show=False)
    assert not folder.exists()
    folder.mkdir()
    with pytest.raises(ConfigError, match="resampler"):
        train(tiny_dataset, wrong, folder, show=False)
    assert list(folder.iterdir()) == []


def test_a_run_that_was_killed_while_it_prepared_does_not_block_the_corrected_one(
    tiny_dataset: Dataset,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / RUN).write_text(json.dumps({"recipe": {"train": {"epochs": 99}}, "data_hash": "other"}))
    assert train(tiny_dataset, tiny_recipe(train={"epochs": 1}), folder, show=False)["epochs"] == 1


def test_a_folder_of_something_else_stays_as_it_is(
    tiny_dataset: Dataset,  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.txt").write_text("one")
    with pytest.raises(CheckpointError, match="is not a run folder"):
        train(tiny_dataset, tiny_recipe(), folder, show=False)
    assert [path.name for path in folder.iterdir()] == ["chapter.txt"]


def test_past_the_limit_of_ease_slim_stands_in_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Histories.from_lists([[0, 1, 2], [0, 1], [1, 2], [0, 2, 3]])
    fit = item_graph.fit_graphs
    ease = fit(log, None, 4, StructureConfig(kind="ease", l2=1.0))["log"].weights.toarray()
    small = fit(log, None, 4, StructureConfig(l2=1.0), show=True)["log"].weights.toarray()
    np.testing.assert_array_equal(small, ease)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(item_graph, "EASE_MAX_ITEMS", 3)
    large = fit(log, None, 4, StructureConfig(l2=1.0), show=True)["log"].weights.toarray()
    slim = fit(log, None, 4, StructureConfig(kind="slim", l2=1.0))["log"].weights.toarray()
    np.testing.assert_array_equal(large, slim)
    said = "4 items, EASE takes 3 at most: each item is regressed on its nearest neighbours alone"
    assert said in capsys.readouterr().err
