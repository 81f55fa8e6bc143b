"""A task's typed request from the body of an HTTP request: JSON, or a form where it may hold a picture."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, get_args

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import PydanticCustomError
from starlette.datastructures import FormData, UploadFile

from unimp.serve.schemas import check_fields
from unimp.tasks.forms import request_fields
from unimp.tasks.requests import FieldForm, ItemCount, TaskRequest

FORMS = {"multipart/form-data", "application/x-www-form-urlencoded"}
MOST_FIELDS = 32
"""Fields of a form."""
MOST_ITEMS = 200
"""Items of one answer: what a page or an app shows, not the whole catalogue."""


def form_of(annotation: Any) -> FieldForm:
    """How fields of this annotated type are given; it tells such fields from others."""
    return next(part for part in get_args(annotation) if isinstance(part, FieldForm))


COUNT_FORM = form_of(ItemCount)
"""Marks the fields that say how many items an answer has."""


async def read_request(request: Request, kind: type[TaskRequest]) -> TaskRequest:
    """The typed request; RequestValidationError for the first thing that is wrong with it."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.picture_field is not None and content_type in FORMS:
        async with request.form(max_files=1, max_fields=MOST_FIELDS) as form:
            return validated(kind, await form_values(form, kind))
    document = json_document(await request.body(), content_type)
    if kind.picture_field is not None and isinstance(document, dict):
        sent = document.get(kind.picture_field)
        if isinstance(sent, str) and sent.startswith("data:"):
            document[kind.picture_field] = sent.partition(",")[2]
    return validated(kind, document)


def validated(kind: type[TaskRequest], document: Any) -> TaskRequest:
    """The request that the document is."""
    try:
        check_field_names(document, kind)
        asked = kind.model_validate(document)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    for name in count_fields(kind):
        if not 1 <= getattr(asked, name) <= MOST_ITEMS:
            raise wrong(
                "value_error", f"Value error, must be 1 to {MOST_ITEMS} (got {getattr(asked, name)})", name
            )
    return asked


@cache
def count_fields(kind: type[TaskRequest]) -> tuple[str, ...]:
    """Fields that say how many items the answer has."""
    return tuple(name for name, info in kind.model_fields.items() if COUNT_FORM in info.metadata)


def check_field_names(document: Any, kind: type[TaskRequest]) -> None:
    """End at the first unknown or very long field; pydantic's own checks make an error of every mistake."""
    try:
        check_fields(document, kind.model_fields)
    except PydanticCustomError as error:
        problem = {"type": error.type, "loc": ("body",), "msg": error.message(), "ctx": error.context}
        raise RequestValidationError([problem]) from None


def json_document(body: bytes, content_type: str) -> Any:
    """The value that the body is."""
    if not body:
        raise wrong("missing", "Field required")
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise wrong("model_type", "not JSON", given="")
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise json_invalid(error.msg) from None
    except RecursionError:
        raise json_invalid("nested too deep; send valid JSON") from None
    except UnicodeDecodeError:
        raise json_invalid("not UTF-8; send valid JSON") from None
    except ValueError:  # Python reads no longer ones
        raise json_invalid("a number of very many digits; send valid JSON") from None


def json_invalid(reason: str) -> RequestValidationError:
    return RequestValidationError(
        [{"type": "json_invalid", "loc": ("body",), "msg": "", "ctx": {"error": reason}}]
    )


def wrong(kind: str, message: str, *place: str, given: Any = None) -> RequestValidationError:
    """One error in the words of pydantic."""
    return RequestValidationError([{"type": kind, "loc": ("body", *place), "msg": message, "input": given}])


async def form_values(form: FormData, kind: type[TaskRequest]) -> dict[str, Any]:
    """The fields of a form by name: lists are separated by commas, the picture is a file."""
    values: dict[str, Any] = {name: value for name, value in form.items() if isinstance(value, str)}
    lists = {"history", *(field.name for field in request_fields(kind) if field.kind is list)}
    for name in lists & values.keys():
        values[name] = [part.strip() for part in values[name].split(",") if part.strip()]
    assert kind.picture_field is not None
    upload = form.get(kind.picture_field)
    values.pop(kind.picture_field, None)
    if isinstance(upload, UploadFile) and (data := await upload.read()):
        values[kind.picture_field] = data
    return values
