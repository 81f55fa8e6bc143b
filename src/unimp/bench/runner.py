"""The runner: fit and judge each (method, config, seed) once; what is finished is never done again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from unimp.baselines import MethodEntry, find_method
from unimp.baselines.baseline import TrainingData
from unimp.bench.environment import Environment, PeakMemory
from unimp.bench.protocol import BenchmarkProtocol
from unimp.bench.result import (
    DataIdentity,
    Rejected,
    ResultFile,
    StoredResult,
    read_result,
    result_name,
    write_ranks,
    write_result,
)
from unimp.config import Config
from unimp.data.dataset import Dataset
from unimp.data.histories import NO_TIME, Cases, Split
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


def run_jobs(
    dataset: Dataset,
    jobs: Sequence[Job],
    folder: Path,
    *,
    protocol: BenchmarkProtocol | None = None,
    show_progress: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> list[Outcome]:
    """Do the jobs that have no result in `folder` yet; each is judged by `protocol` and written at once.

    A method that cannot do its job (a user's error) is reported in its outcome and the others go on.
    """
    protocol = protocol or BenchmarkProtocol()
    split = protocol.make_split(dataset)
    outcomes = []
    for job in jobs:
        name = result_name(job.method, config_values(job), protocol, dataset.data_hash, job.seed)
        path = folder / f"{name}.json"
        if path.exists():
            found = read_result(path)
            if isinstance(found, StoredResult):
                say(f"{name}: already there")
                outcomes.append(Outcome(job, path, done_before=True))
                continue
            assert isinstance(found, Rejected)
            say(f"{name}: {found.reason}; done again")
        try:
            result = run_job(dataset, split, job, protocol, folder, show_progress)
        except UnimpError as error:
            say(f"{name}: failed: {error}")
            outcomes.append(Outcome(job, None, problem=str(error)))
            continue
        say(f"{name}: {summary(result)}")
        outcomes.append(Outcome(job, path))
    return outcomes


def run_job(
    dataset: Dataset, split: Split, job: Job, protocol: BenchmarkProtocol, folder: Path, show_progress: bool
) -> ResultFile:
    """Fit, judge, write."""
    memory = PeakMemory()
    method = job.entry.load()(job.config)
    training = TrainingData.of(split, dataset.catalog, exclude_history=protocol.exclude_history)
    start = time.perf_counter()
    method.fit(training, seed=job.seed, show_progress=show_progress)
    fitted = time.perf_counter()
    with progress_bar(f"{job.method}: scoring", len(split.test), show=show_progress) as bar:
        ranks = judge_cases(
            method,
            split.test,
            exclude_history=protocol.exclude_history,
            batch_size=max(1, min(512, SCORES_AT_ONCE // split.num_items)),
            advance=bar.advance,
        )
    scored = time.perf_counter()
    peak = memory.mebibytes()
    name = result_name(job.method, config_values(job), protocol, dataset.data_hash, job.seed)
    values = ranking_metrics(ranks.values, protocol.cutoffs)
    result = ResultFile(
        method=job.method,
        title=job.entry.title,
        config=config_values(job),
        seed=job.seed,
        protocol=protocol,
        data=identify(dataset, split),
        environment=Environment.here(getattr(job.config, "device", "cpu")),
        seconds_fit=round(fitted - start, 3),
        seconds_score=round(scored - fitted, 3),
        peak_memory_mib=round(peak, 1),
        metrics={metric: None if math.isnan(value) else value for metric, value in values.items()},
        unscored=int(np.isnan(ranks.values).sum()),
        tied_targets=int(ranks.tied.sum()),
        ranks_sha256=write_ranks(folder / f"{name}.parquet", rank_table(dataset, split, ranks)),
    )
    write_result(folder, result)
    return result


def config_values(job: Job) -> dict[str, Any]:
    return job.config.model_dump(mode="json")


def identify(dataset: Dataset, split: Split) -> DataIdentity:
    return DataIdentity(
        name=dataset.folder.resolve().name,
        hash=dataset.data_hash,
        items=split.num_items,
        train_users=int((split.train.lengths > 0).sum()),
        train_events=split.train.num_events,
        test_cases=len(split.test),
        targets_outside_catalogue=int((split.test.target_rows < 0).sum()),
        targets_tied_in_time=targets_tied_in_time(dataset, split.test),
    )


def targets_tied_in_time(dataset: Dataset, test: Cases) -> int:
    """Cases whose answer has the same known time as the last event of its history."""
    times = dataset.interactions.histories.times
    known = np.flatnonzero((test.target_events >= 0) & (test.histories.lengths > 0))
    before = test.histories.times[test.histories.offsets[1:][known] - 1]
    # The interaction table is in the order of `histories`, so a row of one is an event of the other.
    return int(((times[test.target_events[known]] == before) & (before != NO_TIME)).sum())


def rank_table(dataset: Dataset, split: Split, ranks: Ranks) -> pl.DataFrame:
    """RANK_COLUMNS of every test case."""
    targets = split.test.target_rows
    item_ids, events = dataset.catalog.item_ids, np.bincount(split.train.item_rows, minlength=split.num_items)
    return pl.DataFrame(
        {
            "user_id": split.test.histories.user_ids.tolist(),
            "item_id": [item_ids[row] if row >= 0 else None for row in targets.tolist()],
            "rank": pl.Series(ranks.values).fill_nan(None),
            "history_length": split.test.histories.lengths,
            "item_events": np.where(targets >= 0, events[np.maximum(targets, 0)], 0),
        },
        schema_overrides={"user_id": pl.String(), "item_id": pl.String()},
    )


def summary(result: ResultFile) -> str:
    """One line: quality and time."""
    shown = [
        f"{name} {value:.4f}"
        for name, value in result.metrics.items()
        if value is not None and name[:3] != "MRR"
    ]
    return f"{', '.join(shown)} ({result.seconds_fit:.1f} s to fit, {result.seconds_score:.1f} s to score)"
