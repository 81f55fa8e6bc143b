"""`unimp batch --engine ray`: the parts of a batch, answered by actors that open the model once each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import polars as pl

from unimp.batch.answers import BatchAnswers
from unimp.batch.job import BatchJob
from unimp.core.compute import set_threads
from unimp.core.errors import ConfigError, UnimpError
from unimp.core.files import atomic_write
from unimp.core.progress import progress_bar
from unimp.scale.cluster import cluster, other_version, versions, watched


class PartWorker:
    """An actor of Ray Data: answers parts, and reports what went wrong as a value, in one line."""

    def __init__(self, job: BatchJob, packages: dict[str, str]) -> None:
        self.job, self.packages = job, packages
        self.work: BatchAnswers | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        parts = batch["part"].tolist()
        return {"part": batch["part"], "problem": np.array([self.answer(part) for part in parts])}

    def answer(self, part: int) -> str:
        """Write the part's answers; "" or the problem."""
        try:
            problem = other_version(self.packages)
            if problem is None:
                self.job.finish(self.opened(), part, pl.read_parquet(self.job.requests(part)))
            return "" if problem is None else f"worker on {node()} {problem}"
        except UnimpError as error:
            return f"worker on {node()}: {error}"
        except OSError as error:
            return f"worker on {node()}: {error.filename or self.job.target(part)}: {error.strerror or error}"

    def opened(self) -> BatchAnswers:
        """The model, loaded when the first part comes."""
        if self.work is None:
            set_threads(1)
            self.work = self.job.open()
        return self.work


def node() -> str:
    return os.uname().nodename


def answer_parts(job: BatchJob, parts: Sequence[pl.DataFrame], address: str | None, *, show: bool) -> int:
    """Answer on the cluster the parts that are not there yet; how many that were.

    ConfigError with the first worker's problem; parts that were finished by then stay.
    """
    unfinished = job.unfinished(parts)
    if not unfinished:
        return 0
    for part in unfinished:
        if not job.requests(part).exists():
            with atomic_write(job.requests(part)) as temporary:
                parts[part].write_parquet(temporary)
    with cluster(address) as ray, progress_bar(job.task, sum(p.height for p in parts), show=show) as bar:
        bar.advance(sum(part.height for part in parts) - sum(parts[part].height for part in unfinished))
        for row in watched(ray, results(ray, job, unfinished)):
            if row["problem"]:
                raise ConfigError(row["problem"])
            bar.advance(parts[row["part"]].height)
    missing = job.unfinished(parts)
    if missing:
        raise ConfigError(
            f"{job.target(missing[0])}: a worker wrote it and it is not here; put {job.out} on storage that "
            "all nodes mount"
        )
    shutil.rmtree(job.out / "requests", ignore_errors=True)
    return len(unfinished)


def results(ray: Any, job: BatchJob, parts: Sequence[int]) -> Any:
    """A row for each part as it is finished; a part whose machine is lost is answered by another one."""
    data = import_module("ray.data")
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    dataset = data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts))
    answered = dataset.map_batches(
        PartWorker,
        fn_constructor_args=(job, versions()),
        batch_size=1,
        num_cpus=1,
        concurrency=(1, min(workers, len(parts))),
    )
    return answered.iter_rows()
