"""The fields of a request where there is no Python: options of a command, columns of a batch file, a form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from unimp.core.errors import ConfigError
from unimp.tasks.requests import FieldForm, TaskRequest

ASKER = ("user", "history")
"""The fields that all requests have: who asks."""


@dataclass(frozen=True)
class RequestField:
    """One field of a request."""

    name: str
    form: FieldForm
    kind: type
    """Of what is given: str, int, float, bool, Path (a picture), list (ids), dict (NAME=VALUE)."""
    nullable: bool
    required: bool
    default: Any
    help: str

    @property
    def is_number(self) -> bool:
        return self.kind is int

    @property
    def zero_is_null(self) -> bool:
        """0 stands for null: an optional number whose default is another."""
        return self.nullable and self.kind is int and self.default is not None

    @property
    def is_switched_off(self) -> bool:
        """A flag whose default is true: its option makes it false."""
        return self.kind is bool and bool(self.default)

    def read(self, given: Any) -> Any:
        """The field's value for what the command line or a text gives; ConfigError when it has no sense."""
        if given is None:
            return None
        if self.kind is list:
            return tuple(part.strip() for part in given.split(",") if part.strip())
        if self.kind is dict:
            return named_values(given, self.form.flags[0])
        if self.zero_is_null and given == 0:
            return None
        return not given if self.is_switched_off else given


def request_fields(request: type[TaskRequest]) -> list[RequestField]:
    """The request's own fields, in the order of the class."""
    return [request_field(name, info) for name, info in request.model_fields.items() if name not in ASKER]


def batch_fields(request: type[TaskRequest]) -> list[RequestField]:
    """Those that a batch file gives by columns."""
    return [field for field in request_fields(request) if field.form.column]


def request_field(name: str, info: FieldInfo) -> RequestField:
    """How one field is given."""
    form = next((entry for entry in info.metadata if isinstance(entry, FieldForm)), FieldForm())
    if not form.flags:
        form = replace(form, flags=("--" + name.replace("_", "-"),))
    kinds = [kind for kind in alternatives(info.annotation) if kind is not NoneType]
    return RequestField(
        name,
        form,
        plain_kind(kinds),
        len(kinds) < len(alternatives(info.annotation)),
        info.is_required(),
        None if info.is_required() else info.get_default(call_default_factory=True),
        form.help or info.description or "",
    )


def alternatives(annotation: Any) -> list[Any]:
    """The types of a union, their own annotations left out."""
    if get_origin(annotation) in {Union, UnionType}:
        return [kind for part in get_args(annotation) for kind in alternatives(part)]
    if hasattr(annotation, "__metadata__"):
        return alternatives(annotation.__origin__)
    return [annotation]


def plain_kind(kinds: list[Any]) -> type:
    """What is given for a field of these types."""
    if Path in kinds:
        return Path
    origins = [get_origin(kind) or kind for kind in kinds]
    if any(origin in {tuple, list} for origin in origins):
        return list
    return next((kind for kind in (dict, bool, int, float) if kind in origins), str)


def named_values(pairs: list[str], flag: str) -> dict[str, str]:
    """`["colour=red"]` as a mapping; ConfigError for one without `=`."""
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"{flag} {name}: expected NAME=VALUE")
        values[name.strip()] = value.strip()
    return values
