"""Every task on the demo's held-out events: UniMP, its image-blind self, the simple references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unimp.data.catalog import Catalog
from unimp.data.histories import Cases
from unimp.evaluate.evaluation import document
from unimp.personalizer import Personalizer
from unimp.tasks.task import AnyTask, TaskScore

COLOUR = "agreement-colour"
"""Generated pictures are judged by the colour that the shop drew, not by their headline, a likelihood."""
NO_REFERENCE = "nearest real picture"
"""A real picture of the category asked for: no generation."""
GENERATED_CASES = 500
"""Test cases, the first, that pictures are drawn and sentences written for."""
OWN = "UniMP"

Scores = Mapping[str, TaskScore]
"""By name of the answerer; UniMP's own comes first."""


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
        name = pick(known, key=lambda other: known[other])
        return name, known[name]

    @property
    def ahead(self) -> bool:
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


def task_scores(
    personalizer: Personalizer, names: Sequence[str], cases: Cases, shown: Catalog
) -> dict[str, dict[str, TaskScore]]:
    """The run's own score and those of the simple references at each of the tasks named.

    `shown`: the catalogue with what the pictures show, which no model reads.
    """
    parts, seed = personalizer.answerer.parts, personalizer.run.artifacts.recipe.train.seed
    found: dict[str, dict[str, TaskScore]] = {}
    for name in names:
        plain = personalizer.task(name)
        task = plain.with_judge(parts, seed=seed, shown=shown)
        few = min(GENERATED_CASES, len(cases)) if task.by_likelihood else len(cases)
        judged = cases.select(np.arange(few))
        answerers = {OWN: parts.decoder(plain), **task.references(parts)}
        found[name] = {other: task.score(method, judged) for other, method in answerers.items()}
    return found


def own_scores(personalizer: Personalizer, names: Sequence[str], cases: Cases) -> dict[str, TaskScore]:
    """The run's own score at each of the tasks named."""
    parts = personalizer.answerer.parts
    tasks = [personalizer.task(name) for name in names]
    return {task.name: task.score(parts.decoder(task), cases) for task in tasks}


def scoreboard(
    tasks: Sequence[AnyTask],
    scores: Mapping[str, Scores],
    blind: Mapping[str, TaskScore],
    tastes: npt.NDArray[np.str_],
) -> Scoreboard:
    """`scores`: by task and answerer; `blind`: by task, of the image-blind self."""
    rows = [task_row(task, scores[task.name], blind.get(task.name)) for task in tasks]
    by_taste = [
        taste_row(task, scores[task.name][OWN], blind[task.name], tastes)
        for task in tasks
        if task.chooses_items and task.name in blind
    ]
    return Scoreboard(tuple(rows), tuple(by_taste))


def shown_metric(task: AnyTask, score: TaskScore) -> str:
    """What the scoreboard shows of a task in one figure."""
    return task.headline if task.headline in score.metrics else COLOUR


def task_row(task: AnyTask, scores: Scores, blind: TaskScore | None) -> TaskRow:
    own = scores[OWN]
    others = {name: score for name, score in scores.items() if name != OWN}
    metric = shown_metric(task, own)
    sections = {OWN: document(own, task)}
    if blind is not None:
        sections["UniMP, image-blind"] = document(blind, task)
    sections |= {name: document(score, task) for name, score in others.items()}
    return TaskRow(
        task.name,
        metric,
        task.lower_is_better,
        own.metrics[metric],
        None if blind is None else blind.metrics[metric],
        {name: score.metrics[metric] for name, score in others.items() if name != NO_REFERENCE},
        sections,
    )


def taste_row(task: AnyTask, own: TaskScore, blind: TaskScore, tastes: npt.NDArray[np.str_]) -> TasteRow:
    def means(score: TaskScore) -> dict[str, float]:
        assert score.values is not None
        return {
            name: float(np.nanmean(score.values[tastes == name])) for name in sorted(set(tastes.tolist()))
        }

    return TasteRow(task.name, task.headline, means(own), means(blind))
