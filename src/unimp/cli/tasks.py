"""The tasks' commands, made from their request classes: `unimp recommend`, `unimp search` and so on."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from unimp.tasks.forms import RequestField, request_fields
from unimp.tasks.task import AnyTask

if TYPE_CHECKING:
    from unimp.personalizer import Personalizer

RunPath = Annotated[Path, typer.Argument(help="Run folder made by `unimp train`.")]
User = Annotated[str | None, typer.Option(help="A user of the data; their whole history counts.")]
History = Annotated[
    list[str] | None,
    typer.Option(
        help="Item ids, oldest first, separated by commas; or repeated with one id each; or @FILE with one "
        "a line. Empty: a cold start."
    ),
]
DataPath = Annotated[Path | None, typer.Option(help="Data folder, if it has moved since training.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the files.")]
KEYWORD = inspect.Parameter.KEYWORD_ONLY


def task_command(task: type[AnyTask]) -> Callable[..., None]:
    """A function for typer whose parameters are the fields of the task's requests."""
    fields = request_fields(task.Request)

    def command(
        *,
        run: Path,
        user: str | None,
        history: list[str] | None,
        data: Path | None,
        device: str,
        as_json: bool,
        **rest: Any,
    ) -> None:
        who = whose(user, history)
        values = {field.name: field.read(rest[field.name]) for field in fields}
        request = task.Request.parse(values | who)
        from unimp.personalizer import load

        personalizer = load(run, data=data, device=device)
        known = personalizer.answerer.task_named(task.name)
        answer = personalizer.answer(request)
        written = write_files(known.files(answer), rest["out"]) if task.makes_files else []
        if as_json:
            files = {"files": [str(path) for path in written]} if task.makes_files else {}
            print(json.dumps(json.loads(as_document(answer)) | files))
            return
        show_history(personalizer, answer.history)
        for line in [*known.lines(answer), *map(str, written)]:
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
    given: dict[type, Any] = {list: list[str], dict: list[str]}
    kind = given.get(field.kind, field.kind)
    default: Any = inspect.Parameter.empty if field.required else field.default
    if field.is_switched_off:
        default = None if field.default is None else False
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


def whose(user: str | None, history: list[str] | None) -> dict[str, Any]:
    """`user=` or `history=` for a Personalizer; ConfigError without either."""
    from unimp.core.errors import ConfigError
    from unimp.tasks.forms import option_ids

    if user is None and not history:
        raise ConfigError('give either --user ID or --history ID,ID,… (--history "" is a cold start)')
    if user is not None and history:
        raise ConfigError("give either a user or a history, not both")
    return {"user": user, "history": option_ids(history, "--history") if history else None}


def as_document(answer: Any) -> str:
    """One JSON document; pictures are left to files."""
    values = {k: v for k, v in asdict(answer).items() if not is_pictures(v)}
    return json.dumps(values)


def is_pictures(value: Any) -> bool:
    return isinstance(value, tuple | list) and bool(value) and isinstance(value[0], np.ndarray)


def show_history(personalizer: Personalizer, history: tuple[str, ...]) -> None:
    """The latest five items, or that it is a cold start."""
    if not history:
        print("no history: a cold start, answered from popularity and content alone")
        return
    from unimp.tasks.ranking import titled

    catalog = personalizer.run.dataset.catalog
    shown = history[-5:]
    print("history" + (f" (latest 5 of {len(history)})" if len(history) > len(shown) else ""))
    for item_id in shown:
        print(f"    {titled(item_id, catalog.label(catalog.row_of[item_id]))}")
