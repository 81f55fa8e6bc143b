"""`TaskForm`: what the page asks for a task, made from the fields of its requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from starlette.datastructures import FormData, UploadFile

from unimp.serve.request_bodies import COUNT_FORM, form_of
from unimp.tasks.forms import RequestField, request_fields
from unimp.tasks.requests import MOST_LETTERS, ItemField
from unimp.tasks.task import AnyTask

PREFIX = "/ask"
"""Where the forms are sent."""
ITEM_FORM = form_of(ItemField)
"""Marks the field of the item that is asked about."""
SHOWN = 12
"""Items of an answer on the page."""
INPUTS: dict[type, str] = {str: "text", int: "number", Path: "file"}
"""Kinds of fields that a person fills in; the others keep their defaults."""

Place = Literal["history", "item", "ticked", "form"]
"""Where a task stands on the page. history: it needs nothing more, and is answered at once. item: it asks
about one item, and is answered on the item's page. ticked: it asks about items that the person has ticked.
form: it asks for what the person types or uploads."""


@dataclass(frozen=True)
class FormInput:
    """One field that a person fills in."""

    name: str
    label: str
    type: str
    """`text`, `number` or `file`."""
    value: str
    required: bool
    max_length: int = MOST_LETTERS


@dataclass(frozen=True)
class TaskForm:
    """One task on the page."""

    task: type[AnyTask]
    place: Place
    inputs: tuple[FormInput, ...]
    field: str
    """The field of the item, or of the ticked items; empty for the other places."""

    @property
    def command(self) -> str:
        return self.task.command

    @property
    def title(self) -> str:
        """`Generate image`."""
        return self.command.replace("-", " ").capitalize()

    @property
    def summary(self) -> str:
        return self.task.summary

    @property
    def action(self) -> str:
        return f"{PREFIX}/{self.command}"

    @property
    def sends_file(self) -> bool:
        return any(shown.type == "file" for shown in self.inputs)

    @classmethod
    def of(cls, task: type[AnyTask]) -> TaskForm:
        """The form of the task's requests."""
        fields = request_fields(task.Request)
        required = [field for field in fields if field.required]
        inputs = tuple(form_input(field, task) for field in fields if is_filled_in(field))
        free = any(shown.type in {"text", "file"} for shown in inputs)
        if len(required) == 1 and required[0].form == ITEM_FORM:
            return cls(task, "item", (), required[0].name)
        if len(required) == 1 and required[0].kind is list:
            return cls(task, "ticked", (), required[0].name)
        return cls(task, "form" if free or required else "history", inputs if free or required else (), "")

    def values(self, form: FormData) -> dict[str, Any]:
        """The request's fields from what the page sends; empty ones keep their defaults."""
        names = {shown.name for shown in self.inputs}
        values: dict[str, Any] = {
            name: value for name, value in form.items() if name in names and isinstance(value, str) and value
        }
        if self.place == "ticked":
            values[self.field] = list(dict.fromkeys(form.getlist(self.field)))
        return self.shown_counts() | values

    def shown_counts(self) -> dict[str, int]:
        """As many items as the page shows, where the task answers with a number of items."""
        counts = (field.name for field in request_fields(self.task.Request) if is_item_count(field))
        return dict.fromkeys(counts, SHOWN)

    async def uploads(self, form: FormData) -> dict[str, bytes]:
        """The files that the page sends, by field."""
        found = {}
        for shown in self.inputs:
            upload = form.get(shown.name)
            if shown.type == "file" and isinstance(upload, UploadFile) and (data := await upload.read()):
                found[shown.name] = data
        return found


def is_item_count(field: RequestField) -> bool:
    return field.form == COUNT_FORM


def is_filled_in(field: RequestField) -> bool:
    """A person fills in texts, pictures and numbers that have a value to begin with."""
    if is_item_count(field) or field.kind not in INPUTS:
        return False
    return field.kind is not int or (field.default is not None and not field.nullable)


def form_input(field: RequestField, task: type[AnyTask]) -> FormInput:
    """How one field is shown."""
    value = str(field.default) if field.kind is int else ""
    label = field.help.partition(": ")[0].rstrip(".")
    limits = getattr(task.Request.model_fields[field.name], "metadata", ())
    length = next((found for found in map(max_length, limits) if found), MOST_LETTERS)
    return FormInput(field.name, label, INPUTS[field.kind], value, field.required, length)


def max_length(limit: Any) -> int | None:
    found = getattr(limit, "max_length", None)
    return found if isinstance(found, int) else None


def forms_at(place: Place, tasks: Iterable[type[AnyTask]]) -> list[TaskForm]:
    """The forms of those tasks that stand at the place."""
    forms = [TaskForm.of(task) for task in tasks]
    return [form for form in forms if form.place == place]
