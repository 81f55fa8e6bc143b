"""The runner: fit and judge each (method, config, seed) once; what is finished is never done again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unimp.baselines.baseline import ItemFeatures
from unimp.core.errors import UnimpError
from unimp.core.progress import progress_bar
from unimp.data.dataset import Dataset
from unimp.data.targets import count_targets
from unimp.evaluate.bench.cases import identify, rank_table
from unimp.evaluate.bench.environment import Environment, PeakMemory
from unimp.evaluate.bench.fitting import FittedMethod, fit
from unimp.evaluate.bench.jobs import Job, Outcome, Session, config_values
from unimp.evaluate.bench.protocol import BenchmarkProtocol
from unimp.evaluate.bench.result import ResultFile, StoredResult, read_result, write_ranks, write_result
from unimp.evaluate.bench.tries import Budget, Tuning
from unimp.evaluate.bench.tuning import tune
from unimp.metrics.ranking import Ranks, judge_cases, ranking_metrics

SCORES_AT_ONCE = 2**24
"""Entries of a [users, items] block of scores: 64 MiB."""


def run_jobs(
    dataset: Dataset,
    jobs: Sequence[Job],
    folder: Path,
    *,
    protocol: BenchmarkProtocol | None = None,
    budget: Budget | None = None,
    with_ids: bool = True,
    show_progress: bool = False,
    features: ItemFeatures | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> list[Outcome]:
    """Do the jobs that have no result in `folder` yet; each is judged by `protocol` and written at once.

    With a `budget`, every method is tuned on validation first, once for all its seeds. `with_ids=False`
    leaves user and item ids out of the ranks, for data that may not be passed on. A method that cannot do its
    job (a user's error) is reported in its outcome and the others go on. `features` is handed to the methods
    as it is.
    """
    protocol = protocol or BenchmarkProtocol()
    split = protocol.make_split(dataset)
    session = Session(dataset, split, protocol, folder, with_ids, show_progress, features)
    for line in count_targets(split.test).words("test", masked=protocol.exclude_history):
        say(line)
    outcomes = []
    for job in jobs:
        try:
            outcomes.append(do_job(session, job, budget, say))
        except UnimpError as error:
            say(f"{job.method}, seed {job.seed}: failed: {error}")
            outcomes.append(Outcome(job, None, problem=str(error)))
    return outcomes


def do_job(session: Session, job: Job, budget: Budget | None, say: Callable[[str], object]) -> Outcome:
    """Tune where it is asked for, then fit, judge and write, unless that has been done."""
    tuning, fitted = None, None
    if budget is not None and job.space:
        job, tuning, fitted = tune(session, job, budget, say)
    elif budget is not None:
        say(f"{job.method}: has no search space; it is run as it is")
    name = session.name_of(job, tuning)
    path = session.folder / f"{name}.json"
    if path.exists():
        found = read_result(path)
        if isinstance(found, StoredResult):
            say(f"{name}: already there")
            return Outcome(job, path, done_before=True)
        say(f"{name}: {found.reason}; done again")
    result = run_job(session, job, tuning, fitted)
    say(f"{name}: {summary(result)}")
    return Outcome(job, path)


def run_job(
    session: Session, job: Job, tuning: Tuning | None = None, fitted: FittedMethod | None = None
) -> ResultFile:
    """Fit (unless tuning has just fitted this very job), judge, write."""
    fitted = fitted or fit(session, job)
    measured = measure(session, job, fitted)
    values = ranking_metrics(measured.ranks.values, session.protocol.cutoffs)
    table = rank_table(session.dataset, session.split, measured.ranks, session.with_ids)
    name = session.name_of(job, tuning)
    result = ResultFile(
        method=job.method,
        title=job.entry.title,
        config=config_values(job),
        tuning=tuning,
        details=getattr(fitted.method, "details", {}),
        seed=job.seed,
        protocol=session.protocol,
        data=identify(session.dataset, session.split),
        environment=Environment.here(getattr(job.config, "device", "cpu")),
        seconds_fit=round(fitted.seconds, 3),
        cpu_seconds_fit=None if fitted.cpu_seconds is None else round(fitted.cpu_seconds, 3),
        seconds_score=round(measured.seconds, 3),
        peak_memory_mib=round(measured.peak_memory_mib, 1),
        metrics={metric: None if math.isnan(value) else value for metric, value in values.items()},
        unscored=int(np.isnan(measured.ranks.values).sum()),
        tied_targets=int(measured.ranks.tied.sum()),
        with_ids=session.with_ids,
        ranks_sha256=write_ranks(session.folder / f"{name}.parquet", table),
    )
    write_result(session.folder, result)
    return result


@dataclass(frozen=True)
class Measured:
    """What judging gave, and what it cost."""

    ranks: Ranks
    seconds: float
    peak_memory_mib: float
    """Of fitting and judging."""


def measure(session: Session, job: Job, fitted: FittedMethod) -> Measured:
    """Rank every test case."""
    split = session.split
    memory, start = PeakMemory(), time.perf_counter()
    with progress_bar(f"{job.method}: scoring", len(split.test), show=session.show_progress) as bar:
        ranks = judge_cases(
            fitted.method,
            split.test,
            exclude_history=session.protocol.exclude_history,
            among=session.protocol.ranked_items(session.dataset),
            batch_size=max(1, min(512, SCORES_AT_ONCE // split.num_items)),
            advance=bar.advance,
        )
    seconds, peak = time.perf_counter() - start, memory.mebibytes()
    return Measured(ranks, seconds, max(peak, fitted.peak_memory_mib))


def summary(result: ResultFile) -> str:
    """One line: quality and time."""
    shown = [
        f"{name} {value:.4f}"
        for name, value in result.metrics.items()
        if value is not None and name[:3] != "MRR"
    ]
    return f"{', '.join(shown)} ({result.seconds_fit:.1f} s to fit, {result.seconds_score:.1f} s to score)"
