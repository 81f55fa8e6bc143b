"""The documentation's table of tasks, made from their classes."""

from __future__ import annotations

from collections.abc import Iterable

from unimp.tasks.forms import batch_fields, request_fields
from unimp.tasks.task import AnyTask

HEAD = (
    "| task | command | what it does | fields of a request (default) | columns of `batch` "
    "| headline |\n|---|---|---|---|---|---|"
)


def task_table(tasks: Iterable[type[AnyTask]]) -> str:
    """A Markdown table with a row for every task."""
    return "\n".join([HEAD, *map(task_row, tasks)]) + "\n"


def task_row(task: type[AnyTask]) -> str:
    """One row. Who asks (`user` or `history`) is part of every request, and not repeated."""
    fields = [
        f"`{field.name}`" if field.required else f"`{field.name}` ({shown(field.default)})"
        for field in request_fields(task.Request)
    ]
    columns = [
        f"`{field.form.column}`" + (" (optional)" if field.form.optional else "")
        for field in batch_fields(task.Request)
    ]
    aliases = f" (also {', '.join(f'`{name}`' for name in task.aliases)})" if task.aliases else ""
    cells = [
        f"`{task.name}`",
        f"`{task.command}`{aliases}",
        task.summary.rstrip("."),
        ", ".join(fields),
        ", ".join(["`user_id`", *columns]),
        task.headline + (", lower is better" if task.lower_is_better else ""),
    ]
    return f"| {' | '.join(cells)} |"


def shown(default: object) -> str:
    """A default as JSON has it."""
    names: dict[object, str] = {None: "null", "": "empty"}
    if isinstance(default, bool):
        return str(default).lower()
    return names.get(default, str(default))
