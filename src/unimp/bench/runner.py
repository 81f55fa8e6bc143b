"""The runner: fit and judge each (method, config, seed) once; what is finished is never done again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unimp.baselines import MethodEntry, find_method
from unimp.baselines.baseline import ItemFeatures, TrainingData
from unimp.bench.cases import identify, rank_table
from unimp.bench.environment import Environment, PeakMemory
from unimp.bench.protocol import BenchmarkProtocol
from unimp.bench.result import (
    ResultFile,
    StoredResult,
    read_result,
    result_name,
    write_ranks,
    write_result,
)
from unimp.config import Config
from unimp.data.dataset import Dataset
from unimp.data.histories import Split
from unimp.errors import ConfigError, UnimpError, did_you_mean
from unimp.metrics.ranking import Ranks, judge_cases, ranking_metrics
from unimp.progress import progress_bar

SCORES_AT_ONCE = 2**24
"""Entries of a [users, items] block of scores: 64 MiB."""


@dataclass(frozen=True)
class Job:
    """One figure to make."""

    method: str
    entry: MethodEntry
    config: Config
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    path: Path | None
    """The result file; None when the job failed."""
    done_before: bool = False
    problem: str = ""
    """Why it failed."""


def plan_jobs(
    methods: Mapping[str, MethodEntry],
    names: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    overrides: Mapping[str, Any] | None = None,
) -> list[Job]:
    """Each method of `names` with each seed (one seed where nothing is random).

    `overrides` maps a method's name to settings for it; ConfigError on names or keys that do not exist.
    """
    overrides = overrides or {}
    for name, settings in overrides.items():
        if name not in names or not isinstance(settings, Mapping):
            hint = did_you_mean(name, names)
            raise ConfigError(f"--set {name}: expected METHOD.KEY=VALUE of a method that is run{hint}")
    jobs = []
    for name in dict.fromkeys(names):
        entry = find_method(name, methods)
        config = entry.config(overrides.get(name), place=f"--set {name}")
        jobs += [Job(name, entry, config, seed) for seed in (seeds if entry.seeded else seeds[:1])]
    return jobs


@dataclass(frozen=True)
class Trial:
    """What all the jobs of a run share."""

    dataset: Dataset
    split: Split
    protocol: BenchmarkProtocol
    folder: Path
    with_ids: bool
    show_progress: bool
    features: ItemFeatures | None = None

    def name_of(self, job: Job) -> str:
        return result_name(job.method, config_values(job), self.protocol, self.dataset.data_hash, job.seed)


def run_jobs(
    dataset: Dataset,
    jobs: Sequence[Job],
    folder: Path,
    *,
    protocol: BenchmarkProtocol | None = None,
    with_ids: bool = True,
    show_progress: bool = False,
    features: ItemFeatures | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> list[Outcome]:
    """Do the jobs that have no result in `folder` yet; each is judged by `protocol` and written at once.

    `with_ids=False` leaves user and item ids out of the ranks, for data that may not be passed on. A method
    that cannot do its job (a user's error) is reported in its outcome and the others go on. `features` is
    handed to the methods as it is.
    """
    protocol = protocol or BenchmarkProtocol()
    split = protocol.make_split(dataset)
    trial = Trial(dataset, split, protocol, folder, with_ids, show_progress, features)
    outcomes = []
    for job in jobs:
        name = trial.name_of(job)
        path = folder / f"{name}.json"
        if path.exists():
            found = read_result(path)
            if isinstance(found, StoredResult):
                say(f"{name}: already there")
                outcomes.append(Outcome(job, path, done_before=True))
                continue
            say(f"{name}: {found.reason}; done again")
        try:
            result = run_job(trial, job)
        except UnimpError as error:
            say(f"{name}: failed: {error}")
            outcomes.append(Outcome(job, None, problem=str(error)))
            continue
        say(f"{name}: {summary(result)}")
        outcomes.append(Outcome(job, path))
    return outcomes


def run_job(trial: Trial, job: Job) -> ResultFile:
    """Fit, judge, write."""
    measured = measure(trial, job)
    values = ranking_metrics(measured.ranks.values, trial.protocol.cutoffs)
    table = rank_table(trial.dataset, trial.split, measured.ranks, trial.with_ids)
    result = ResultFile(
        method=job.method,
        title=job.entry.title,
        config=config_values(job),
        details=measured.details,
        seed=job.seed,
        protocol=trial.protocol,
        data=identify(trial.dataset, trial.split),
        environment=Environment.here(getattr(job.config, "device", "cpu")),
        seconds_fit=round(measured.seconds_fit, 3),
        seconds_score=round(measured.seconds_score, 3),
        peak_memory_mib=round(measured.peak_memory_mib, 1),
        metrics={metric: None if math.isnan(value) else value for metric, value in values.items()},
        unscored=int(np.isnan(measured.ranks.values).sum()),
        tied_targets=int(measured.ranks.tied.sum()),
        with_ids=trial.with_ids,
        ranks_sha256=write_ranks(trial.folder / f"{trial.name_of(job)}.parquet", table),
    )
    write_result(trial.folder, result)
    return result


@dataclass(frozen=True)
class Measured:
    """What fitting and judging gave, and what they cost."""

    ranks: Ranks
    seconds_fit: float
    seconds_score: float
    peak_memory_mib: float
    details: dict[str, Any]


def measure(trial: Trial, job: Job) -> Measured:
    """Fit the method on the training part, rank every test case; the method is gone afterwards."""
    split, masked = trial.split, trial.protocol.exclude_history
    memory = PeakMemory()
    method = job.entry.load()(job.config)
    training = TrainingData.of(split, trial.dataset.catalog, exclude_history=masked, features=trial.features)
    start = time.perf_counter()
    method.fit(training, seed=job.seed, show_progress=trial.show_progress)
    fitted = time.perf_counter()
    with progress_bar(f"{job.method}: scoring", len(split.test), show=trial.show_progress) as bar:
        ranks = judge_cases(
            method,
            split.test,
            exclude_history=masked,
            batch_size=max(1, min(512, SCORES_AT_ONCE // split.num_items)),
            advance=bar.advance,
        )
    scoring, peak = time.perf_counter() - fitted, memory.mebibytes()
    # A method that opened an earlier training reports what that one cost.
    seconds, earlier_peak = getattr(method, "reported_cost", None) or (fitted - start, 0.0)
    return Measured(ranks, seconds, scoring, max(peak, earlier_peak), getattr(method, "details", {}))


def config_values(job: Job) -> dict[str, Any]:
    return job.config.model_dump(mode="json")


def summary(result: ResultFile) -> str:
    """One line: quality and time."""
    shown = [
        f"{name} {value:.4f}"
        for name, value in result.metrics.items()
        if value is not None and name[:3] != "MRR"
    ]
    return f"{', '.join(shown)} ({result.seconds_fit:.1f} s to fit, {result.seconds_score:.1f} s to score)"
