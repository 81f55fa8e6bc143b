"""`unimp batch --engine ray`: the parts of a batch, answered by actors that open the model once each."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from unimp.batch.answers import BatchAnswers
from unimp.batch.job import BatchJob
from unimp.core.compute import set_threads
from unimp.core.errors import ConfigError
from unimp.core.files import atomic_write
from unimp.core.progress import progress_bar
from unimp.scale.cluster import cluster, versions
from unimp.scale.parts import done_parts, problem_of


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

        def work() -> None:
            self.job.finish(self.opened(), part, pl.read_parquet(self.job.requests(part)))

        return problem_of(work, self.packages, self.job.target(part))

    def opened(self) -> BatchAnswers:
        """The model, loaded when the first part comes."""
        if self.work is None:
            set_threads(1)
            self.work = self.job.open()
        return self.work


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
        for row in done_parts(ray, PartWorker, (job, versions()), unfinished):
            bar.advance(parts[row["part"]].height)
    missing = job.unfinished(parts)
    if missing:
        raise ConfigError(
            f"{job.target(missing[0])}: a worker wrote it and it is not here; put {job.out} on storage that "
            "all nodes mount"
        )
    shutil.rmtree(job.out / "requests", ignore_errors=True)
    return len(unfinished)
