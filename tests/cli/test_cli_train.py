"""train, evaluate and recommend as a user meets them: one JSON document, one line per mistake, status 2."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import polars as pl
import pytest
import safetensors.torch
import torch

from tests.train.conftest import TINY, tiny_dataset  # noqa: F401 - a fixture
from unimp.cli import main
from unimp.core.files import read_tensors
from unimp.data.dataset import Dataset
from unimp.metrics.ranking import ranking_metrics

SETTINGS = [
    f"--set={table}.{key}={json.dumps(value)}"
    for table, values in TINY.items()
    for key, value in values.items()  # type: ignore[attr-defined]
]


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """Standard output of a command that succeeds."""
    monkeypatch.setattr(sys, "argv", ["unimp", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main.main()
    captured = capsys.readouterr()
    assert stop.value.code == 0, captured.err
    return captured.out


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """The one line on standard error of a command that refuses with status 2."""
    monkeypatch.setattr(sys, "argv", ["unimp", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main.main()
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.fixture
def run_folder(
    tiny_dataset: Dataset,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    out = tmp_path / "run"
    text = call(
        capsys, monkeypatch, "train", "--data", tiny_dataset.folder, "--out", out, *SETTINGS, "--json"
    )
    assert json.loads(text)["run"] == str(out)
    return out


def test_evaluate_and_recommend(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = tmp_path / "ranks.parquet"
    report = json.loads(call(capsys, monkeypatch, "evaluate", run_folder, "--json", "--ranks", ranks))
    metrics = report["tasks"]["recommendation"]["metrics"]
    assert set(metrics) == {f"{name}@{k}" for name in ("HR", "NDCG", "MRR") for k in (3, 5, 10)}
    assert ranking_metrics(pl.read_parquet(ranks)["rank"].to_numpy()) == metrics
    cases = tmp_path / "cases.parquet"
    call(capsys, monkeypatch, "evaluate", run_folder, "--references", "--json", "--cases", cases)
    table = pl.read_parquet(cases)
    assert set(table["method"]) == {"UniMP"}
    assert ranking_metrics(table["rank"].fill_null(float("nan")).to_numpy()) == metrics
    assert "NDCG@5" in call(capsys, monkeypatch, "evaluate", run_folder, "--split", "valid")
    answer = json.loads(call(capsys, monkeypatch, "recommend", run_folder, "--history", "i01,i02", "--json"))
    assert len(answer["items"]) == 10
    assert answer["history"] == ["i01", "i02"]
    assert "cold start" in call(capsys, monkeypatch, "recommend", run_folder, "--history", "", "-k", 3)
    assert "thing number" in call(capsys, monkeypatch, "recommend", run_folder, "--user", "u001")


def test_mistakes_are_one_line(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def says(*arguments: object) -> str:
        return refused(capsys, monkeypatch, *arguments)

    assert 'unknown item "9"' in says("recommend", run_folder, "--history", "i01,9")
    assert 'unknown user "x"' in says("recommend", run_folder, "--user", "x")
    assert '; it has "u001"' in says("recommend", run_folder, "--user", " U001")
    assert "either --user ID or --history ID" in says("recommend", run_folder)
    assert "not both" in says("recommend", run_folder, "--user", "u001", "--history", "i01")
    assert "has no task 'rating'" in says("evaluate", run_folder, "--task", "rating")
    assert "expected valid or test" in says("evaluate", run_folder, "--split", "tset")
    assert "no such run folder" in says("evaluate", tmp_path / "nowhere")
    assert "no such data folder" in says("train", "--data", tmp_path / "nowhere", "--out", tmp_path / "r")
    assert 'did you mean "epochs"' in says(
        "train", "--data", tmp_path / "data", "--out", tmp_path / "r", "--set", "train.epoch=3"
    )
    assert "did you mean" in says(
        "train", "--data", tmp_path / "data", "--out", tmp_path / "r", "--recipe", "smal"
    )
    assert "another recipe" in says("train", "--data", tmp_path / "data", "--out", run_folder)
    assert "Missing option" in says("train", "--out", tmp_path / "r")
    assert "No such command" in says("trian")


def test_a_full_disk_is_one_line_and_loses_nothing(
    tiny_dataset: Dataset,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk fills up at the second validation; with room again the same command goes on."""
    arguments = (
        "train",
        "--data",
        tiny_dataset.folder,
        "--recipe",
        resources.files("unimp.recipes") / "small.toml",  # the name would print its choices
        "--out",
        tmp_path / "run",
        *SETTINGS,
    )
    original, written = safetensors.torch.save_file, 0

    def full(*positional: object, **named: object) -> None:
        nonlocal written
        written += 1
        if written > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(*positional, **named)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    assert "No space left on device" in refused(capsys, monkeypatch, *arguments)
    assert not list((tmp_path / "run").glob(".*"))
    monkeypatch.setattr(safetensors.torch, "save_file", original)
    assert "best epoch" in call(capsys, monkeypatch, *arguments)


def test_a_killed_command_goes_on_where_it_stopped(tiny_dataset: Dataset, tmp_path: Path) -> None:  # noqa: F811
    """A real SIGKILL in the middle; the second call finishes and equals a run that was never killed."""
    steady = ["--set=train.epochs=6", "--set=train.patience=6", "--set=train.checkpoint_seconds=0.001"]

    def command(out: Path) -> list[str]:
        base = [sys.executable, "-m", "unimp.cli.main", "train", "--data", str(tiny_dataset.folder)]
        return [*base, "--out", str(out), *SETTINGS, *steady, "--json"]

    environment = {**os.environ, "UNIMP_CACHE": str(tmp_path / "cache")}
    killed = subprocess.Popen(
        command(tmp_path / "killed"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = tmp_path / "killed" / "log.jsonl"
    while not (log.exists() and log.read_text().count("\n") >= 2):
        assert killed.poll() is None, "the training ended before it could be killed"
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "result.json").exists()
    for out in ("killed", "whole"):
        subprocess.run(command(tmp_path / out), env=environment, check=True, capture_output=True)
    first, second = (read_tensors(tmp_path / out / "model.safetensors")[0] for out in ("killed", "whole"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_explain_prints_choices_and_trains_nothing(
    tiny_dataset: Dataset,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = sorted(tmp_path.rglob("*"))
    text = call(capsys, monkeypatch, "train", "--data", tiny_dataset.folder, "--explain")
    assert "structure   ease" in text
    document = json.loads(
        call(
            capsys,
            monkeypatch,
            *("train", "--data", tiny_dataset.folder, "--explain", "--json", "--set", "model.width=32"),
        )
    )
    assert document["facts"]["items"] == 20
    assert document["recipe"]["model"]["width"] == 32
    assert {choice["what"] for choice in document["choices"]} >= {"structure", "softmax", "horizon"}
    train = ("train", "--data", tiny_dataset.folder, "--explain")
    assert call(capsys, monkeypatch, *train, "--recipe", "small") == text
    assert "leave --recipe out" in refused(capsys, monkeypatch, *train, "--recipe", "demo")
    assert "--workers: only with --engine ray" in refused(capsys, monkeypatch, *train, "--workers", "2")
    assert sorted(tmp_path.rglob("*")) == before
    assert "--out" in refused(capsys, monkeypatch, "train", "--data", tiny_dataset.folder)
