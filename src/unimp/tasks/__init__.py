"""One file per task: its words, its sentences, its score. A new task is a file, a line here, and a test."""

from __future__ import annotations

import importlib

from unimp.errors import ConfigError, did_you_mean
from unimp.tasks.task import Task

TASKS: dict[str, str] = {
    "recommendation": "unimp.tasks.recommendation:Recommendation",
}


def load_task(name: str) -> Task:
    """The task of that name; ConfigError lists the known ones."""
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}{did_you_mean(name, TASKS)}")
    module, attribute = TASKS[name].split(":")
    task: Task = getattr(importlib.import_module(module), attribute)()
    return task
