"""One package per task. A new task is a package here and a line in `TASKS`, or a package of its own that the
entry point group `unimp.tasks` names."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from unimp.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from unimp.tasks.context import TaskContext
    from unimp.tasks.task import AnyTask

TASKS: dict[str, str] = {
    "recommendation": "unimp.tasks.recommendation.task:RecommendationTask",
    "search": "unimp.tasks.search.task:SearchTask",
    "rating": "unimp.tasks.rating.task:RatingTask",
    "explanation": "unimp.tasks.explanation.task:ExplanationTask",
    "selection": "unimp.tasks.selection.task:SelectionTask",
    "imagination": "unimp.tasks.image_generation.task:ImageGenerationTask",
}


def task_class(name: str) -> type[AnyTask]:
    """The task of that name; ConfigError lists the known ones."""
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}{did_you_mean(name, TASKS)}")
    module, attribute = TASKS[name].split(":")
    task: type[AnyTask] = getattr(importlib.import_module(module), attribute)
    return task


def load_tasks(names: Iterable[str], context: TaskContext) -> tuple[AnyTask, ...]:
    """The tasks of those names; ConfigError says what the data lacks for one of them."""
    tasks = []
    for name in names:
        chosen = task_class(name)
        lacking = chosen.lacks(context)
        if lacking is not None:
            raise ConfigError(f"task {name}: needs {lacking}; leave it out of `tasks`, or add them")
        tasks.append(chosen(context))
    return tuple(tasks)
