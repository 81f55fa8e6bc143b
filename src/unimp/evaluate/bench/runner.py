"""The runner: fit and judge each (method, config, seed) once; what is finished is never done again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unimp.answer import Ranker
from unimp.baselines.baseline import ItemFeatures
from unimp.core.errors import UnimpError
from unimp.core.progress import progress_bar
from unimp.data.dataset import Dataset
from unimp.data.targets import count_targets
from unimp.evaluate.bench.cases import identify, rank_table
from unimp.evaluate.bench.environment import Environment, PeakMemory
from unimp.evaluate.bench.fitting import FittedMethod, fit, refit
from unimp.evaluate.bench.jobs import Job, Outcome, Session, config_values
from unimp.evaluate.bench.protocol import BenchmarkProtocol
from unimp.evaluate.bench.result import ResultFile, StoredResult, read_result, write_ranks, write_result
from unimp.evaluate.bench.second_stage import FusionRecord
from unimp.evaluate.bench.tries import Budget, Tuning
from unimp.evaluate.bench.tuning import tune
from unimp.fusion.config import FusionConfig
from unimp.fusion.fused import FusedRanker
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
    fusions: Sequence[FusionConfig] = (FusionConfig(),),
    say: Callable[[str], object] = lambda line: None,
) -> list[Outcome]:
    """Do the jobs that have no result in `folder` yet; each is judged by `protocol` and written at once.

    With a `budget`, every method is tuned on validation first, once for all its seeds. `with_ids=False`
    leaves user and item ids out of the ranks, for data that may not be passed on. A method that cannot do its
    job (a user's error) is reported in its outcome and the others go on. `features` is handed to the methods
    as it is. Each fitted method is judged once under every one of `fusions`.
    """
    protocol = protocol or BenchmarkProtocol()
    split = protocol.make_split(dataset)
    session = Session(dataset, split, protocol, folder, with_ids, show_progress, features, tuple(fusions))
    for line in count_targets(split.test).words("test", masked=protocol.exclude_history):
        say(line)
    outcomes = []
    for job in jobs:
        try:
            outcomes += do_job(session, job, budget, say)
        except UnimpError as error:
            say(f"{job.method}, seed {job.seed}: failed: {error}")
            outcomes.append(Outcome(job, None, problem=str(error)))
    return outcomes


def do_job(session: Session, job: Job, budget: Budget | None, say: Callable[[str], object]) -> list[Outcome]:
    """Tune where asked, then fit once; under each fusion judge and write, unless that has been done."""
    tuning, fitted = None, None
    if budget is not None and job.space:
        job, tuning, fitted = tune(session, job, budget, say)
    elif budget is not None:
        say(f"{job.method}: has no search space; it is run as it is")
    outcomes = []
    for fusion in session.fusions:
        name = session.name_of(job, tuning, fusion)
        path = session.folder / f"{name}.json"
        if done_before(path, say):
            outcomes.append(Outcome(job, path, done_before=True, fusion=fusion.kind))
            continue
        fitted = fitted or fit(session, job)
        result = run_job(session, job, tuning, fitted, fusion)
        say(f"{name}: {summary(result)}")
        outcomes.append(Outcome(job, path, fusion=fusion.kind))
    return outcomes


def done_before(path: Path, say: Callable[[str], object]) -> bool:
    """Whether a sound result is there."""
    if not path.exists():
        return False
    found = read_result(path)
    if isinstance(found, StoredResult):
        say(f"{path.stem}: already there")
        return True
    say(f"{path.stem}: {found.reason}; done again")
    return False


def run_job(
    session: Session, job: Job, tuning: Tuning | None, fitted: FittedMethod, fusion: FusionConfig
) -> ResultFile:
    """Fit the second stage upon the fitted method, judge, write."""
    ranker, record = fuse(session, job, fitted, fusion)
    measured = measure(session, job, ranker, fitted.peak_memory_mib)
    if isinstance(ranker, FusedRanker):
        record = record.model_copy(update={"details": ranker.details})
    values = ranking_metrics(measured.ranks.values, session.protocol.cutoffs)
    table = rank_table(session.dataset, session.split, measured.ranks, session.with_ids)
    name = session.name_of(job, tuning, fusion)
    result = ResultFile(
        method=job.method,
        title=job.entry.title,
        config=config_values(job),
        tuning=tuning,
        fusion=record,
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


def fuse(
    session: Session, job: Job, fitted: FittedMethod, fusion: FusionConfig
) -> tuple[Ranker, FusionRecord]:
    """The ranker to judge, and what is known of the second stage before it has scored."""
    settings = fusion.model_dump(mode="json")
    if fusion.kind == "none":
        return fitted.method, FusionRecord()
    start = time.perf_counter()
    fused = session.fusion_maker.fit(fitted.method, fusion)
    if fusion.refit_method and fused.method is not None:
        fused.method = session.fusion_maker.placed(refit(session, job, fitted), fusion)
    seconds = round(time.perf_counter() - start, 3)
    return fused, FusionRecord(kind=fusion.kind, settings=settings, seconds_fit=seconds)


@dataclass(frozen=True)
class Measured:
    """What judging gave, and what it cost."""

    ranks: Ranks
    seconds: float
    peak_memory_mib: float
    """Of fitting and judging."""


def measure(session: Session, job: Job, ranker: Ranker, peak_before: float) -> Measured:
    """Rank every test case."""
    split = session.split
    memory, start = PeakMemory(), time.perf_counter()
    with progress_bar(f"{job.method}: scoring", len(split.test), show=session.show_progress) as bar:
        ranks = judge_cases(
            ranker,
            split.test,
            exclude_history=session.protocol.exclude_history,
            among=session.protocol.ranked_items(session.dataset),
            batch_size=max(1, min(512, SCORES_AT_ONCE // split.num_items)),
            advance=bar.advance,
        )
    seconds, peak = time.perf_counter() - start, memory.mebibytes()
    return Measured(ranks, seconds, max(peak, peak_before))


def summary(result: ResultFile) -> str:
    """One line: quality and time."""
    shown = [
        f"{name} {value:.4f}"
        for name, value in result.metrics.items()
        if value is not None and name[:3] != "MRR"
    ]
    return f"{', '.join(shown)} ({result.seconds_fit:.1f} s to fit, {result.seconds_score:.1f} s to score)"
