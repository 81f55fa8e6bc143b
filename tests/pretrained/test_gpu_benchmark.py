"""`benchmarks/gpu/run.sh` runs to its end in its tiny mode, and refuses in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

from unimp.tasks import TASKS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "run.sh"


def run_script(*arguments: str, minutes: str = "0.05") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable, "MINUTES": minutes, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_the_tiny_mode_writes_a_result_with_the_devices_name(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="needs the extra `pretrained`: make test-pretrained")
    done = run_script("--out", str(tmp_path), "--tiny")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "shop.json").read_text())
    assert report["environment"]["device"].startswith("cpu")
    assert set(report["test"]) == set(report["tasks"]) == set(TASKS)
    assert report["training"]["steps"] >= 1
    assert 0 < report["utilisation"] < 1
    assert report["users a minute"] > 0
    assert pl.read_parquet(tmp_path / "shop.recommendation.parquet")["rank"].len() > 0


@pytest.mark.parametrize("arguments", [(), ("--out",), ("--quick",)])
def test_wrong_arguments_are_one_line(arguments: tuple[str, ...]) -> None:
    done = run_script(*arguments)
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_without_a_device_it_says_what_runs_on_a_cpu(tmp_path: Path) -> None:
    done = run_script("--out", str(tmp_path), "data/hm")
    assert done.returncode == 2
    assert done.stderr.strip() == "device: no CUDA device; --tiny runs the same steps on a CPU"
