"""Every task of a run, judged on its held-out cases."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from unimp.core.compute import peak_memory_mib, set_threads
from unimp.core.errors import ConfigError, DataError, did_you_mean
from unimp.data.catalog import Catalog
from unimp.data.histories import Cases
from unimp.data.targets import count_targets, in_history
from unimp.metrics.ranking import RankArray, ranking_metrics
from unimp.runs.open_run import TrainedRun
from unimp.runs.training_split import make_split
from unimp.tasks.task import AnyTask, TaskScore

RESAMPLES = 2000
"""Bootstrap samples of an interval."""


def evaluate_run(
    run: TrainedRun,
    *,
    tasks: Sequence[str] | None = None,
    split_name: str = "test",
    ranks_file: Path | None = None,
    cases_file: Path | None = None,
    exclude_history: bool | None = None,
    with_references: bool = False,
    show: bool = True,
) -> dict[str, Any]:
    """The metrics of every task (or the named ones), as a document for people and programs.

    `exclude_history` None: as the run was validated. With history kept, metrics over targets that the user
    already had (`repeat`) and over the others (`explore`) are given apart.

    `with_references` judges the simple references of each task on the same cases. `cases_file` (Parquet)
    takes what every task and reference gave for every case, without ids: see `case_values`.
    """
    chosen = choose(run.artifacts.tasks, tasks)
    cases, recipe = cases_of(run, split_name), run.artifacts.recipe
    set_threads(recipe.train.threads)
    masked = run.exclude_history if exclude_history is None else exclude_history
    targets, repeats = count_targets(cases), in_history(cases)
    answerer = run.artifacts.answerer(run.model, run.weights_by_task, show=show)
    started = time.monotonic()
    sections: dict[str, Any] = {}
    per_case: list[pl.DataFrame] = []
    # Judges first: what they lack must not come up after hours of answers.
    judged = [task.with_judge(answerer.parts, seed=recipe.train.seed, show=show) for task in chosen]
    for task in judged:
        score = task.score(answerer.decoders[task.name], cases, exclude_history=masked, show=show)
        methods = task.references(answerer.parts).items() if with_references else ()
        others = {name: task.score(m, cases, exclude_history=masked, show=show) for name, m in methods}
        section = task_section(task, score, others if with_references else None)
        if score.ranks is not None and not masked and 0 < targets.in_history < targets.cases:
            section |= {"repeat": part(score.ranks[repeats]), "explore": part(score.ranks[~repeats])}
        per_case += [case_values(task, name, one) for name, one in ({"UniMP": score} | others).items()]
        sections[task.name] = section
        if score.ranks is not None and ranks_file is not None:
            write_ranks(named_for(ranks_file, task, chosen), cases, score.ranks, run.dataset.catalog)
    if cases_file is not None:
        write_table(cases_file, pl.concat(per_case))
    return {
        "run": str(run.folder),
        "split": split_name,
        "protocol": {"split": recipe.train.split, "exclude_history": masked, "ranking": "full catalogue"},
        "data_hash": run.dataset.data_hash,
        "targets": asdict(targets),
        "notes": [
            *targets.words(split_name, masked=masked),
            *(f"{task.name}: {note}" for task in judged if (note := task.judge_note())),
        ],
        "tasks": sections,
        "seconds": time.monotonic() - started,
        "peak_memory_mib": peak_memory_mib(),
    }


def cases_of(run: TrainedRun, split_name: str) -> Cases:
    """What the run is judged on; ConfigError for an unknown name, or for what a refitted run learned from."""
    if split_name not in {"valid", "test"}:
        raise ConfigError(f"--split {split_name}: expected valid or test")
    if run.refitted and split_name == "valid":
        raise ConfigError("--split valid: this run learned from those items too (train.refit); use test")
    config = run.artifacts.recipe.train
    split = make_split(run.dataset, config.split, config.seed)
    return split.test if split_name == "test" else split.valid


def task_section(
    task: AnyTask, score: TaskScore, references: Mapping[str, TaskScore] | None
) -> dict[str, Any]:
    """What the report says of one task; `references` None: they were not asked for."""
    section = document(score, task)
    if facts := task.judge_facts():
        section["judge"] = facts
    if references is not None:
        section["references"] = {
            name: document(other, task) | compared(score, other, task.headline)
            for name, other in references.items()
        }
    return section


def document(score: TaskScore, task: AnyTask) -> dict[str, Any]:
    return {
        "headline": task.headline,
        "metrics": score.metrics,
        "cases": score.cases,
        "unscored": score.unscored,
    }


def case_values(task: AnyTask, method: str, score: TaskScore) -> pl.DataFrame:
    """One row per case, in the split's order: `value` is what the mean behind a metric (`of`) is taken over,
    `rank` the target's where the task ranks items; null is unscored, infinity a sure miss."""
    known = score.values if score.values is not None else score.ranks
    count = 0 if known is None else len(known)
    return pl.DataFrame(
        {
            "task": [task.name] * count,
            "method": [method] * count,
            "case": np.arange(count, dtype=np.int32),
            "of": [score.values_of or task.headline] * count,
            "value": column(score.values, count),
            "rank": column(score.ranks, count),
        },
        schema_overrides=dict.fromkeys(("task", "method", "of"), pl.String),
    )


def column(values: RankArray | None, count: int) -> pl.Series:
    """float32, NaN as null; all null where there are no values."""
    if values is None:
        return pl.Series([None] * count, dtype=pl.Float32)
    return pl.Series(values.astype(np.float32)).fill_nan(None)


def part(ranks: RankArray) -> dict[str, Any]:
    """The ranking metrics over some of the cases."""
    return {"cases": len(ranks), "metrics": ranking_metrics(ranks)}


def compared(score: TaskScore, other: TaskScore, headline: str) -> dict[str, Any]:
    """UniMP's lead over a reference in the mean behind a metric, paired case by case, with interval.

    Of squared errors less is better: there a lead is below zero.
    """
    if score.values is None or other.values is None:
        return {}
    both = ~np.isnan(score.values) & ~np.isnan(other.values)
    lead = score.values[both] - other.values[both]
    if not len(lead):
        return {}
    rng = np.random.default_rng(0)
    means = np.array([lead[rng.integers(len(lead), size=len(lead))].mean() for _ in range(RESAMPLES)])
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    name = score.values_of or headline
    return {"lead": {"of": name, "mean": float(lead.mean()), "low": low, "high": high, "cases": len(lead)}}


def choose(tasks: Sequence[AnyTask], names: Sequence[str] | None) -> list[AnyTask]:
    known = {task.name: task for task in tasks}
    for name in names or ():
        if name not in known:
            raise ConfigError(f"this checkpoint has no task {name!r}{did_you_mean(name, known)}")
    return [known[name] for name in names] if names else list(tasks)


def named_for(path: Path, task: AnyTask, tasks: Sequence[AnyTask]) -> Path:
    """`path`, or with several ranked tasks `path` with the task's name before its ending."""
    ranked = [task for task in tasks if task.ranks_items]
    return path if len(ranked) < 2 else path.with_name(f"{path.stem}.{task.name}{path.suffix}")


def write_ranks(path: Path, cases: Cases, ranks: RankArray, catalog: Catalog) -> None:
    """One row per case, so that anyone can compute every figure again; a sure miss ranks infinity."""
    target_ids = [catalog.item_ids[row] if row >= 0 else None for row in cases.target_rows.tolist()]
    table = pl.DataFrame(
        {
            "user_id": cases.histories.user_ids.tolist(),
            "item_id": pl.Series(target_ids, dtype=pl.String),
            "rank": pl.Series(
                [None if np.isnan(rank) else rank for rank in ranks.tolist()], dtype=pl.Float64
            ),
        }
    )
    write_table(path, table)


def write_table(path: Path, table: pl.DataFrame) -> None:
    try:
        table.write_parquet(path, compression="zstd")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from None
