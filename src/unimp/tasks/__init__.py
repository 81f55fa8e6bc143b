"""One package per task. A new task is a package here and a line in `TASKS`, or a class of another package.

The entry point group `unimp.tasks` names those of other packages.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from unimp.core.errors import ConfigError
from unimp.core.registry import BrokenContract, Registry

if TYPE_CHECKING:
    from unimp.tasks.context import TaskContext
    from unimp.tasks.task import AnyTask

NEEDED = ("name", "command", "summary", "words", "headline", "Request", "Answer")
"""What the class of a task must have, beside the methods."""


def checked_task(name: str, found: Any) -> type[AnyTask]:
    """The class of a task from another package; BrokenContract says what it lacks."""
    from unimp.tasks.requests import TaskRequest
    from unimp.tasks.task import Task

    if not (isinstance(found, type) and issubclass(found, Task)):
        raise BrokenContract("is no subclass of unimp.tasks.task.Task; name the class of the task")
    for attribute in NEEDED:
        if not getattr(found, attribute, None):
            raise BrokenContract(f"the task has no `{attribute}`; give its class one")
    methods = sorted(getattr(found, "__abstractmethods__", ()))
    if inspect.isabstract(found) and methods:
        raise BrokenContract(f"the task has no method `{methods[0]}`; write it")
    if not issubclass(found.Request, TaskRequest):
        raise BrokenContract("`Request` is no subclass of unimp.tasks.requests.TaskRequest; make it one")
    if found.name != name:
        raise BrokenContract(f"the task calls itself {found.name!r}; give both the same name")
    return found


TASKS: Registry[type[AnyTask]] = Registry(
    "task",
    "unimp.tasks",
    {
        "recommendation": "unimp.tasks.recommendation.task:RecommendationTask",
        "search": "unimp.tasks.search.task:SearchTask",
        "rating": "unimp.tasks.rating.task:RatingTask",
        "explanation": "unimp.tasks.explanation.task:ExplanationTask",
        "selection": "unimp.tasks.selection.task:SelectionTask",
        "imagination": "unimp.tasks.image_generation.task:ImageGenerationTask",
    },
    checked_task,
)
"""Every task by its name in recipes, results and `--task`."""


def load_tasks(names: Iterable[str], context: TaskContext) -> tuple[AnyTask, ...]:
    """The tasks of those names; ConfigError says what the data lacks for one of them."""
    tasks = []
    for name in names:
        chosen = TASKS.find(name)
        lacking = chosen.lacks(context)
        if lacking is not None:
            raise ConfigError(f"task {name}: needs {lacking}; leave it out of `tasks`, or add them")
        tasks.append(chosen(context))
    return tuple(tasks)


def commands() -> Iterator[tuple[str, type[AnyTask]]]:
    """Every task with the name of its command; the aliases follow the command itself."""
    for task in TASKS.values():
        for name in (task.command, *task.aliases):
            yield name, task


def extra_words(tasks: Iterable[AnyTask], context: TaskContext) -> list[str]:
    """What the vocabulary must spell for the tasks beside the catalogue's own text."""
    corpora: dict[str, Sequence[str]] = {}
    for task in tasks:
        corpora = {**task.extra_words(context), **corpora}
    return [text for name in sorted(corpora) for text in corpora[name]]
