"""docs/tasks.md has the table that the tasks' classes make."""

from __future__ import annotations

from pathlib import Path

from unimp.tasks import TASKS
from unimp.tasks.documentation import task_table

DOCS = Path(__file__).parents[2] / "docs" / "tasks.md"


def test_the_table_is_that_of_the_classes() -> None:
    table = task_table(TASKS[name] for name in TASKS.table)
    assert table in DOCS.read_text(), f"put this into {DOCS.name}:\n{table}"
