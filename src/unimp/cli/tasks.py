"""The tasks' commands, made from their request classes: `unimp recommend`, `unimp search` and so on."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from unimp.cli.asking import (
    AsJson,
    DataPath,
    Device,
    History,
    RunPath,
    User,
    as_document,
    opened,
    show_history,
    whose,
)
from unimp.tasks.forms import RequestField, request_fields
from unimp.tasks.task import AnyTask

OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the files.")]
KEYWORD = inspect.Parameter.KEYWORD_ONLY


def task_command(task: type[AnyTask]) -> Callable[..., None]:
    """A function for typer whose parameters are the fields of the task's requests."""
    fields = request_fields(task.Request)

    def command(
        *,
        run: Path,
        user: str | None,
        history: str | None,
        data: Path | None,
        device: str,
        as_json: bool,
        **rest: Any,
    ) -> None:
        who = whose(user, history)
        values = {field.name: field.read(rest[field.name]) for field in fields}
        request = task.Request.parse(values | who)
        personalizer = opened(run, data, device)
        asked = personalizer.answerer.task_named(task.name)
        answer = personalizer.answer(request)
        written = write_files(asked.files(answer), rest["out"]) if task.makes_files else []
        if as_json:
            files = {"files": [str(path) for path in written]} if task.makes_files else {}
            print(json.dumps(json.loads(as_document(answer)) | files))
            return
        show_history(personalizer, answer.history)
        for line in [*asked.lines(answer), *map(str, written)]:
            print(line)

    command.__doc__ = task.summary
    command.__signature__ = signature(task, fields)  # type: ignore[attr-defined]
    command.__annotations__ = {
        name: parameter.annotation for name, parameter in signature(task, fields).parameters.items()
    }
    return command


def signature(task: type[AnyTask], fields: list[RequestField]) -> inspect.Signature:
    """The run, the request's own fields (those that must be given first), who asks, and how to answer."""
    parameters = [parameter("run", RunPath)]
    if task.makes_files:
        parameters.append(parameter("out", OutFolder))
    parameters += [field_parameter(field) for field in sorted(fields, key=lambda field: not field.required)]
    parameters += [
        parameter("user", User, None),
        parameter("history", History, None),
        parameter("data", DataPath, None),
        parameter("device", Device, "auto"),
        parameter("as_json", AsJson, False),
    ]
    return inspect.Signature(parameters)


def parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, KEYWORD, annotation=annotation, default=default)


def field_parameter(field: RequestField) -> inspect.Parameter:
    """The option of one field."""
    given: dict[type, Any] = {list: str, dict: list[str]}
    kind = given.get(field.kind, field.kind)
    default: Any = inspect.Parameter.empty if field.required else field.default
    if field.is_switched_off:
        default = False
    if default is None:
        kind = kind | None
    least = 0 if field.zero_is_null else None
    option = typer.Option(*field.form.flags, help=field.help, min=least)
    return parameter(field.name, Annotated[kind, option], default)


def write_files(files: dict[str, bytes], folder: Path) -> list[Path]:
    """The files' paths, once they are written."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]
