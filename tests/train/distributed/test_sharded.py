"""Two processes (gloo, on the CPU) train as one would: same steps, exact resume, runs that open as usual."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

import unimp
from tests.train.conftest import write_ring
from tests.train.distributed.sampled_steps import SAMPLED
from tests.train.distributed.worker import RESUMED, killed
from tests.train.test_run import log_of
from unimp.core.errors import CheckpointError, ConfigError
from unimp.core.files import read_tensors
from unimp.data.dataset import Dataset
from unimp.train.distributed.processes import find_process_group
from unimp.train.distributed.sharded import ShardedProcessGroup
from unimp.train.training_run import train

CPU = torch.device("cpu")
BACKBONES = importlib.util.find_spec("transformers") is not None
LEARNING = ("frozen", "lora", "full", "short", "autocast")


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    folder = tmp_path_factory.mktemp("ring")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNIMP_CACHE", str(folder / "cache"))
        yield write_ring(folder / "data")


@pytest.fixture(scope="module")
def out(ring: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the two processes left; one run was begun by one process, one is left for one to finish."""
    folder = tmp_path_factory.mktemp("out")
    killed(ring, folder / "from-one", None, 7)
    killed(ring, folder / "sampled-from-one", None, 7, SAMPLED)
    lm = ""
    if BACKBONES:
        from tests.model.backbones.families import model_folder

        lm = str(model_folder(folder / "llama", max_position_embeddings=256))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "tests.train.distributed.worker", str(ring.folder), str(folder), lm]
    root = Path(__file__).parents[3]
    path = os.pathsep.join((str(root), str(root / "src")))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, timeout=900)
    assert done.returncode == 0, done.stderr[-6000:]
    return folder


@pytest.fixture(scope="module")
def found(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "found.json").read_text()))


@pytest.mark.parametrize("model", ["compact", "sampled", *LEARNING])
def test_steps_of_two_processes_are_those_of_one_on_both_batches(found: dict[str, Any], model: str) -> None:
    """With pictures in both batches, in one, in none, and with an idle process at the end."""
    if model in LEARNING and not BACKBONES:
        pytest.skip("needs the extra `pretrained`: make test-pretrained")
    assert found["size"] == 2
    differences = found[model]
    assert differences["moved"] > 1e-3
    # Layers that compute in bfloat16 get their norms in it too, when they are gathered.
    assert differences["weights"] < (1e-5 if model != "autocast" else 0.2 * differences["moved"])
    assert differences["states"] == 0
    assert differences["agreed"]


def test_tables_of_the_sampled_softmax_agree_where_one_process_touches_no_item(found: dict[str, Any]) -> None:
    assert all(found["nothing"].values()), found["nothing"]


def test_the_size_decides_on_the_softmax_of_several_processes(found: dict[str, Any]) -> None:
    assert (found["auto"], found["auto below"]) == (True, False)


@pytest.mark.parametrize("prefix", ["", "sampled-"])
def test_two_processes_resume_exactly(out: Path, prefix: str) -> None:
    names = (f"{prefix}whole", f"{prefix}parts")
    whole, parts = (read_tensors(out / name / "model.safetensors")[0] for name in names)
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    rows = [log_of(out / name) for name in names]
    assert [row["valid"] for row in rows[0]] == [row["valid"] for row in rows[1]]
    assert [row["loss"] for row in rows[0]] == pytest.approx([row["loss"] for row in rows[1]])
    assert not [path for path in (out / names[1]).iterdir() if path.name.startswith("state")]


@pytest.mark.parametrize("name", ["whole", "from-one", "sampled-whole", "sampled-from-one", "text"])
def test_a_run_of_two_processes_opens_as_any_other(out: Path, name: str) -> None:
    assert json.loads((out / name / "result.json").read_text())["processes"] == 2
    assert len(unimp.load(out / name).recommend(["i03", "i04"], k=5).items) == 5


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[ShardedProcessGroup]:
    """A team of one that reads what teams of several wrote."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield ShardedProcessGroup(0, 1, 1, CPU)
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.mark.parametrize("part", [".metadata", "__1_0.distcp"])
def test_a_damaged_state_is_named(
    out: Path, ring: Dataset, alone: ShardedProcessGroup, tmp_path: Path, part: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(out / "to-one", folder)
    damaged = folder / json.loads((folder / "state.json").read_text())["folder"] / part
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"state-\d+-\d+-\d+: damaged"):
        train(ring, RESUMED, folder, show=False, process_group=alone)


@pytest.mark.parametrize("prefix", ["", "sampled-"])
def test_one_process_goes_on_where_two_stopped(
    out: Path, ring: Dataset, alone: ShardedProcessGroup, prefix: str
) -> None:
    folder, recipe = out / f"{prefix}to-one", SAMPLED if prefix else RESUMED
    with pytest.raises(CheckpointError, match="begun by several processes; go on with `torchrun"):
        train(ring, recipe, folder, show=False)
    train(ring, recipe, folder, show=False, process_group=alone)
    assert [row["epoch"] for row in log_of(folder)] == [1, 2]
    assert len(unimp.load(folder).recommend(["i03", "i04"], k=5).items) == 5


def test_more_processes_than_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="--nproc-per-node 2: this machine has 1 CUDA devices; start one"):
        find_process_group(torch.device("cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_devices_train_together(ring: Dataset, tmp_path: Path) -> None:
    """NCCL, bfloat16, batches from pinned memory: through the command line, then opened as usual."""
    recipe = tmp_path / "ring.toml"
    recipe.write_text(
        "[sentence]\nfields = []\n[content]\ntext = 8\n"
        "[vision]\nheight = 16\nimage_width = 16\ntoken_width = 8\npretrain_epochs = 1\n"
        "[model]\nwidth = 16\nhidden = 32\n"
        '[train]\nepochs = 2\nbatch_positions = 128\nprecision = "bfloat16"\n'
    )
    processes = min(2, torch.cuda.device_count())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "unimp.cli.main", "train", "--device", "cuda"]
    command += ["--data", str(ring.folder), "--recipe", str(recipe), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-6000:]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["processes"] == processes
    assert len(unimp.load(tmp_path / "run").recommend(["i03", "i04"], k=5).items) == 5
