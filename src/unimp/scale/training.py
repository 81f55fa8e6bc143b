"""`unimp train --engine ray`: the process group of `train/distributed` on a cluster, by Ray Train."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from unimp.core.errors import ConfigError, UnimpError
from unimp.core.files import atomic_write, read_json
from unimp.core.progress import say
from unimp.data.dataset import Dataset
from unimp.runs.folder import LOG, RESULT
from unimp.runs.lock import RunHeldError
from unimp.runs.recipe import Recipe
from unimp.scale.cluster import (
    LOST_SECONDS,
    cluster,
    import_ray,
    node,
    other_version,
    versions,
    watched,
)
from unimp.train.distributed.processes import PATIENCE, joined_process_group, torch_backend
from unimp.train.training_run import train

SETTINGS = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
"""Of Ray Train: workers may take ten minutes to import what they need (a busy node exceeds the usual one),
and stay in their working folder."""
MOST_FAILURES = 8
"""Lost workers or nodes until the command gives up; the state so far stays."""
PROBLEM = "problem.txt"


@dataclass(frozen=True)
class TrainingJob:
    """What every worker needs; the folders are on storage that all nodes mount."""

    data: Path
    recipe: Recipe
    out: Path
    device: torch.device
    """Its kind; which one of a node's is a worker's own follows from its place there."""
    workers: int
    packages: dict[str, str]

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"


def training_job(data: Path, recipe: Recipe, out: Path, device: torch.device, workers: int) -> TrainingJob:
    """With the packages of this process, which workers must have too."""
    return TrainingJob(data.resolve(), recipe, out.resolve(), device, workers, versions())


def work(job: TrainingJob, folder: Path) -> None:
    """One process of the group that Ray Train has joined. It begins at the last state in the run folder.

    What no other worker could do better is written into `folder`: it ends the training. Everything else, such
    as the silence of a lost neighbour, is raised, and Ray begins anew with another worker.
    """
    if not folder.exists():
        raise ConfigError(f"{job.out}: the command that began this training has ended")
    if (folder / PROBLEM).exists():
        raise ConfigError((folder / PROBLEM).read_text())
    try:
        problem = other_version(job.packages)
        if problem is not None:
            raise ConfigError(problem)
        context = import_module("ray.train").get_context()
        group, device = joined_process_group(
            job.device, context.get_local_rank(), context.get_local_world_size()
        )
        dataset = Dataset.load(job.data)
        when_free(lambda: train(dataset, job.recipe, job.out, device=device, process_group=group, show=False))
    except UnimpError as error:
        line = f"worker on {node()}: {error}"
        if folder.exists():
            with suppress(OSError), atomic_write(folder / PROBLEM) as temporary:
                temporary.write_text(line)
        raise ConfigError(line) from error


def when_free(begin: Callable[[], object]) -> None:
    """Begin once the run folder's lock is free: a worker on a lost node may hold it for a moment yet."""
    until = time.monotonic() + LOST_SECONDS
    while True:
        try:
            begin()
            return
        except RunHeldError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def train_on_cluster(
    job: TrainingJob, address: str | None, *, show: bool = True, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Train with so many workers, or go on where it stopped; the run's result. `notes` are said before.

    A lost worker is replaced, and all go on from the last state. ConfigError when the cluster is too small,
    stays so for LOST_SECONDS, or gives up; the state so far stays.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import_ray()
    kind = "GPU" if job.on_gpu else "CPU"
    with cluster(address) as ray, folder_beside(job.out) as folder:
        there = int(ray.cluster_resources().get(kind, 0))
        if there < job.workers:
            raise ConfigError(
                f"--workers {job.workers}: the cluster has {there} {kind}(s); start nodes, or ask for fewer"
            )
        for note in notes:
            say(note, show=show)
        seen = EpochLines(job.out / LOG, show=show)

        def look() -> None:
            seen.tell()
            if (folder / PROBLEM).exists():
                raise ConfigError((folder / PROBLEM).read_text())

        try:
            for _ in watched(ray, finished(job, folder), kind=kind, least=job.workers, look=look):
                look()
        except ConfigError:
            look()  # the problem itself says more than that Ray gave up
            raise
    if not (job.out / RESULT).exists():
        raise ConfigError(
            f"{job.out}: a worker wrote the run and it is not here; put it on storage that all nodes mount"
        )
    return dict(read_json(job.out / RESULT))


def finished(job: TrainingJob, folder: Path) -> Iterator[Any]:
    """Ray Train's result, once the training is over."""
    ray_train, ray_torch = import_module("ray.train"), import_module("ray.train.torch")
    trainer = ray_torch.TorchTrainer(
        partial(work, job, folder),
        torch_config=ray_torch.TorchConfig(
            backend=torch_backend(on_gpu=job.on_gpu), timeout_s=int(PATIENCE.total_seconds())
        ),
        scaling_config=ray_train.ScalingConfig(num_workers=job.workers, use_gpu=job.on_gpu),
        run_config=ray_train.RunConfig(
            name="run",
            storage_path=str(folder),
            failure_config=ray_train.FailureConfig(max_failures=MOST_FAILURES),
        ),
    )
    yield trainer.fit()


@contextmanager
def folder_beside(out: Path) -> Iterator[Path]:
    """A folder for what Ray Train and the workers leave during the training."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".ray", dir=out.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class EpochLines:
    """Says each epoch that workers write into the run's log."""

    def __init__(self, log: Path, *, show: bool) -> None:
        self.log, self.show, self.said = log, show, 0

    def tell(self) -> None:
        try:
            rows = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        except OSError:
            return
        for row in rows[self.said :]:
            say(f"epoch {row['epoch']}: loss {row['loss']:.3f}, valid {row['score']:.4f}", show=self.show)
        self.said = max(self.said, len(rows))
