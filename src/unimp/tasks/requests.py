"""`TaskRequest`: what a user asks of a task, typed and validated; all limits stand here alone.

A task's request adds its own fields. From the class are made: the options of its command, the JSON of its
HTTP route, the form of the page, and the columns of a batch file. Its model docstring and field docstrings
are the descriptions there.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeAlias

from PIL import Image
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from unimp.core.errors import ConfigError, did_you_mean

MOST_LETTERS = 1000
"""Letters of a query in words."""
MOST_CANDIDATES = 1000
"""Candidates of one choice."""
MOST_PICTURES = 64
"""Pictures drawn for one request."""
MOST_ID_LETTERS = 512
"""Letters of a user's or an item's id."""

TEXT_PATTERN = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"
"""No control characters but tab and newline."""
ID_PATTERN = r"^[^\x00-\x1f\x7f]+$"

LONGEST_VALUE = 80
"""Letters of a wrong value that an error message repeats."""

Id: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=MOST_ID_LETTERS, pattern=ID_PATTERN)
]
Words: TypeAlias = Annotated[str, StringConstraints(max_length=MOST_LETTERS, pattern=TEXT_PATTERN)]

PictureFile: TypeAlias = bytes | Path | Image.Image
"""A picture from outside: the bytes of its file, its path, or already opened."""


def read_picture_field(value: Any) -> PictureFile:
    """JSON gives base64; Python gives bytes, a path or an opened picture."""
    if isinstance(value, bytes | Path | Image.Image):
        return value
    if not isinstance(value, str):
        raise ValueError("give the bytes of a picture file, its path, or base64")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:  # binascii.Error is one
        raise ValueError("not base64; send the bytes of a picture file in base64") from None


def write_picture_field(value: PictureFile) -> str:
    """Base64 of the file's bytes; an opened picture becomes a PNG file first."""
    if isinstance(value, Image.Image):
        from unimp.core.images import png_bytes

        return base64.b64encode(png_bytes(value)).decode()
    return base64.b64encode(value.read_bytes() if isinstance(value, Path) else value).decode()


Picture: TypeAlias = Annotated[
    PictureFile,
    PlainValidator(read_picture_field),
    PlainSerializer(write_picture_field, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
"""The type of a request's field that holds a picture (PNG, JPEG, WebP or GIF; base64 in JSON)."""


@dataclass(frozen=True)
class FieldForm:
    """How a field is given where there is no Python: an annotation of the field.

    Without it a field is an option named after it, and no column. The field's type decides the rest: a list
    of ids is separated by commas; a mapping is given as NAME=VALUE, again and again; a picture is a path; a
    flag whose default is true is an option that makes it false; 0 stands for the null of an optional number
    whose default is not null.
    """

    flags: tuple[str, ...] = ()
    """Options of the command, such as `--text` and `-t`."""
    help: str = ""
    """Help of the option, where the field's docstring does not suit the command line."""
    column: str = ""
    """Column of a batch file that gives the field; empty: it has none."""
    optional: bool = False
    """Whether the column may be missing, or empty in a row."""
    inverted: bool = False
    """Whether the option says the opposite of the field."""


ItemField: TypeAlias = Annotated[
    Id, FieldForm(("--item",), help="The item that is asked about.", column="item_id")
]
ItemCount: TypeAlias = Annotated[int, Field(ge=1), FieldForm(("-k", "--k"), help="How many items.")]
KEEP_HISTORY = "--keep-history/--mask-history"
MAY_COME_UP = "Whether items of the user's own history may come up again; default: as the run was validated."
ExcludeHistory: TypeAlias = Annotated[
    bool | None, FieldForm((KEEP_HISTORY,), help=MAY_COME_UP, inverted=True)
]


ITEMS_EXAMPLE = [
    {"item_id": "P00007", "title": "Maple bag", "score": -2.31},
    {"item_id": "P00011", "title": "Linden bag", "score": -2.87},
]
"""Ranked items, for the examples of answers."""
ANSWER_TAIL: dict[str, Any] = {"history": ["P00003", "P00004"], "cold_start": False}
"""What every answer tells beside its own fields, for examples."""


def with_example(**example: Any) -> ConfigDict:
    """The model configuration of a request whose JSON may look like `example`."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class TaskRequest(BaseModel):
    """Who asks: a user, or a history of item ids, oldest first; without either it is a cold start."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    user: Id | None = None
    """A user of the data; their whole history counts."""
    history: tuple[Id, ...] | None = None
    """Item ids, oldest first; none: a cold start."""

    picture_field: ClassVar[str | None] = None
    """The field that holds a picture, for requests that can show one."""

    @model_validator(mode="after")
    def not_both(self) -> Self:
        if self.user is not None and self.history is not None:
            raise ValueError("give either a user or a history, not both")
        return self

    @property
    def shown_picture(self) -> PictureFile | None:
        """The picture from outside that the request shows."""
        return None if self.picture_field is None else getattr(self, self.picture_field)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The items that the request names beside its history; all must be in the catalogue."""
        return ()

    def resolved(self, *, exclude_history: bool) -> Self:
        """The request with the run's own choice where it leaves open whether to mask the history."""
        if vars(self).get("exclude_history", False) is None:
            return self.model_copy(update={"exclude_history": exclude_history})
        return self

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A request as JSON, for documentation; empty where the class gives none."""
        extra = cls.model_config.get("json_schema_extra")
        examples = extra.get("examples") if isinstance(extra, dict) else None
        return dict(examples[0]) if isinstance(examples, list) and isinstance(examples[0], dict) else {}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """The validated request; ConfigError in one line that names the field, the problem and the value."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(problem(error, cls)) from None


class ItemRequest(TaskRequest):
    """A request about one item."""

    item: ItemField
    """The item's id."""

    @property
    def item_ids(self) -> tuple[str, ...]:
        return (self.item,)


PLAIN = {
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "greater_than": "must be above {gt:g}",
    "less_than": "must be below {lt:g}",
    "string_too_long": "has more than {max_length:,} letters",
    "string_too_short": "is empty",
    "string_pattern_mismatch": "has control characters",
}
"""pydantic's kinds of error in plain words."""


def problem(error: ValidationError, request: type[TaskRequest]) -> str:
    """One line for the first thing that is wrong."""
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"unknown field {field!r}{did_you_mean(field, request.model_fields)}"
    if first["type"] == "missing":
        return f"{field}: missing; give it"
    plain = PLAIN.get(first["type"], "")
    message = plain.format_map(first.get("ctx", {})) or first["msg"].removeprefix("Value error, ")
    if not field:
        return message
    if first["type"] == "value_error":
        return f"{field}: {message}"
    value = repr(first["input"])
    return f"{field}: {message} (got {value if len(value) < LONGEST_VALUE else value[:LONGEST_VALUE] + '…'})"
