"""Every task on the demo's held-out events: UniMP, its image-blind self, the simple references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unimp.answer import Ranker
from unimp.data.catalog import Catalog
from unimp.data.histories import Cases
from unimp.evaluate.evaluation import document
from unimp.runs.open_run import TrainedRun
from unimp.tasks.task import AnyTask, TaskScore

COLOUR = "agreement-colour"
"""Generated pictures are judged by the colour that the shop drew, not by their headline, a likelihood."""


@dataclass(frozen=True)
class TaskRow:
    """One task: the headline of UniMP and of everything it is compared with."""

    task: str
    metric: str
    lower_is_better: bool
    unimp: float
    blind: float | None
    """The same model without pictures; None where it was not trained for the task."""
    others: dict[str, float]
    sections: dict[str, Any]
    """All metrics by name of the answerer."""

    @property
    def best_other(self) -> tuple[str, float] | None:
        """The best reference that is not the model itself."""
        known = {name: value for name, value in self.others.items() if value == value}
        if not known:
            return None
        pick = min if self.lower_is_better else max
        name = pick(known, key=lambda one: known[one])
        return name, known[name]

    @property
    def prefetch(self) -> bool:
        best = self.best_other
        return best is None or (self.unimp < best[1] if self.lower_is_better else self.unimp > best[1])


@dataclass(frozen=True)
class TasteRow:
    """A task's headline by what decides the users' choices."""

    task: str
    metric: str
    unimp: dict[str, float]
    blind: dict[str, float]


@dataclass(frozen=True)
class Scoreboard:
    tasks: tuple[TaskRow, ...]
    tastes: tuple[TasteRow, ...]


def keep_score(
    run: TrainedRun,
    blind: TrainedRun,
    cases: Cases,
    tastes: npt.NDArray[np.str_],
    recommenders: dict[str, Any],
    shown: Catalog,
    rankers: tuple[Ranker, Ranker],
) -> Scoreboard:
    """`recommenders`: the methods that recommendation is compared with, by name; `shown`: the catalogue with
    what the pictures show, which no model reads; `rankers`: recommendations of the model and the blind one,
    with the fusion."""
    blind_tasks = {task.name: task for task in blind.artifacts.tasks}
    rows: list[TaskRow] = []
    by_taste: list[TasteRow] = []
    for plain in run.artifacts.tasks:
        parts = run.answerer.parts
        task = plain.with_judge(parts, seed=run.artifacts.recipe.train.seed, shown=shown)
        others = recommenders if task.compared_by_bench else task.references(parts)
        is_recommending = task.compared_by_bench
        own = task.score(rankers[0] if is_recommending else run.answerer.decoders[task.name], cases)
        scores = {name: task.score(method, cases) for name, method in others.items()}
        unseeing = None
        if task.name in blind_tasks:
            answering = rankers[1] if is_recommending else blind.answerer.decoders[task.name]
            unseeing = blind_tasks[task.name].score(answering, cases)
            if task.chooses_items and own.values is not None and unseeing.values is not None:
                by_taste.append(taste_row(task, own, unseeing, tastes))
        rows.append(task_row(task, own, unseeing, scores))
    return Scoreboard(tuple(rows), tuple(by_taste))


def shown_metric(task: AnyTask, score: TaskScore) -> str:
    """What the scoreboard shows of a task in one figure."""
    return task.headline if task.headline in score.metrics else COLOUR


def task_row(
    task: AnyTask, own: TaskScore, unseeing: TaskScore | None, scores: dict[str, TaskScore]
) -> TaskRow:
    metric = shown_metric(task, own)
    sections = {"UniMP": document(own, task)}
    if unseeing is not None:
        sections["UniMP, image-blind"] = document(unseeing, task)
    sections |= {name: document(score, task) for name, score in scores.items()}
    return TaskRow(
        task.name,
        metric,
        task.lower_is_better,
        own.metrics[metric],
        None if unseeing is None else unseeing.metrics[metric],
        {
            name: score.metrics[metric]
            for name, score in scores.items()
            if name != "nearest real picture"  # a real picture of the category asked for: no generation
        },
        sections,
    )


def taste_row(task: AnyTask, own: TaskScore, unseeing: TaskScore, tastes: npt.NDArray[np.str_]) -> TasteRow:
    def means(score: TaskScore) -> dict[str, float]:
        assert score.values is not None
        return {
            name: float(np.nanmean(score.values[tastes == name])) for name in sorted(set(tastes.tolist()))
        }

    return TasteRow(task.name, task.headline, means(own), means(unseeing))
