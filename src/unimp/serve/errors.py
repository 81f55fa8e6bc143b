"""Every error as `application/problem+json` (RFC 9457), in the words of the command line."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from unimp.core.errors import UnimpError
from unimp.serve.connection import CLIENT_GONE, ClientGone
from unimp.serve.page.rendering import problem_page
from unimp.serve.schemas import KIND, MOST_ENTRIES
from unimp.serve.store.store import EventConflict, StoreUnavailable
from unimp.tasks.requests import ID_PATTERN, TEXT_PATTERN

LOG = logging.getLogger("unimp")
MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "1"
SHOWN = 60
"""Characters of a wrong value that are repeated."""
SUBJECT = re.compile(r"^(Input|String|List|Dictionary|Value) should ")
"""How pydantic's sentences begin; here the field's name does."""
NO_OBJECT = {"model_attributes_type", "model_type", "dict_type"}
"""What pydantic calls a value that is no object."""
PATTERNS = {
    ID_PATTERN: "must not hold control characters",
    TEXT_PATTERN: "must not hold control characters",
    KIND: "must be small letters, digits, - and _, at most 32 and a letter first",
}
NAMED = {
    "unknown_field": "unknown field; leave it out, or look at /openapi.json for the right name",
    "too_many": f"more than {MOST_ENTRIES:,} entries; send fewer",
}
"""Our own errors, whose context names the field."""


class Busy(UnimpError):
    """The server has more to do than it can; nothing was done, and trying again is right."""


class TooManyWaiting(UnimpError):
    """One client has as many requests waiting as it may; nothing was done."""


class TooSlow(UnimpError):
    """The answer took longer than the server allows."""


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status, dict(headers or {}), MEDIA_TYPE)


def status_of(error: UnimpError) -> int:
    """503 where trying again helps, 429 where less would, 409 for a contradiction, else 422: wrong."""
    if isinstance(error, TooManyWaiting):
        return 429
    if isinstance(error, StoreUnavailable | Busy | TooSlow):
        return 503
    return 409 if isinstance(error, EventConflict) else 422


def one_line(error: Mapping[str, Any]) -> str:
    """`k: Input should be greater than 0 (got 0)`, as a configuration mistake reads."""
    if error["type"] == "json_invalid":
        reason = (error.get("ctx") or {}).get("error", "not complete")
        return f"body: not valid JSON: {reason}"
    place = ".".join(str(part) for part in error["loc"] if part not in {"body", "query", "path"})
    if error["type"] in NAMED:
        name = str(error["ctx"]["name"])[:SHOWN]
        return f"{place}.{name}: {NAMED[error['type']]}" if place else f"{name}: {NAMED[error['type']]}"
    if error["type"] == "value_error":
        message = str(error["msg"]).removeprefix("Value error, ")
        return f"{place}: {message}" if place else message
    place = place or "body"
    if error["type"] == "missing":
        return f"{place}: is missing; send {'JSON' if place == 'body' else 'it'}"
    if error["type"] == "extra_forbidden":
        return f"{place}: unknown field; leave it out, or look at /openapi.json for the right name"
    if error["type"] in NO_OBJECT and isinstance(error.get("input"), str | bytes):
        return (
            f"{place}: was not read as JSON; send an object, with the header Content-Type: application/json"
        )
    if error["type"] in NO_OBJECT:
        return f"{place}: must be an object {{…}} (got {shown(error)})"
    if error["type"] == "string_pattern_mismatch":
        rule = PATTERNS.get(error["ctx"]["pattern"], error["msg"])
        return f"{place}: {rule} (got {shown(error)})"
    rule = SUBJECT.sub("must ", str(error["msg"])).replace(" after validation", "")
    return f"{place}: {rule} (got {shown(error)})"


def shown(error: Mapping[str, Any]) -> str:
    """The wrong value, cut short."""
    got = repr(error.get("input"))
    return got if len(got) <= SHOWN else got[:SHOWN] + "…"


def readable(text: str) -> str:
    """One line that can be sent, whatever the request held."""
    return " ".join(text.encode(errors="replace").decode().split())


def reply(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """For a program as a problem document, for a person as a page."""
    detail = readable(detail)
    return problem_page(request, status, detail) or problem(status, detail, headers)


async def on_unimp_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, UnimpError)
    status, detail = status_of(error), str(error)
    if isinstance(
        error, StoreUnavailable
    ):  # where the database is, and why it fails, is the operator's to know
        LOG.warning("%s", detail)
        detail = "store: not available; try again in a moment"
    return reply(request, status, detail, {"Retry-After": RETRY_SECONDS} if status in (429, 503) else None)


async def on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | ValidationError)
    first = error.errors()[0]
    return reply(request, 400 if first["type"] == "json_invalid" else 422, one_line(first))


async def on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return reply(request, error.status_code, in_words(request, error), error.headers)


def in_words(request: Request, error: HTTPException) -> str:
    """The detail, or more than the bare phrase of the status that frameworks leave it at."""
    detail = str(error.detail)
    if error.status_code == 404 and detail == HTTPStatus(404).phrase:
        return f"there is nothing at {request.url.path[:100]}; /openapi.json says what there is"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return f"{request.method} does nothing here; this address takes {allowed}"
    if error.status_code == 400:
        return f"body: cannot be read ({detail}); send valid JSON, or a form where one is taken"
    return detail


async def on_client_gone(_: Request, __: Exception) -> Response:
    """Nobody reads it; the metrics count it."""
    return Response(status_code=CLIENT_GONE)


async def on_bug(request: Request, _: Exception) -> Response:
    """Ours, not the client's: it says nothing of the inside; the traceback is in the server's log."""
    route = getattr(request.scope.get("route"), "path", "no route")  # the path itself may name a user
    principal = request.scope.get("state", {}).get("principal")
    LOG.error("%s: %s %s failed", getattr(principal, "name", "nobody"), request.method, route)
    return reply(request, 500, "the server made a mistake; it is in its log")


def install(app: FastAPI) -> None:
    app.add_exception_handler(UnimpError, on_unimp_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(ValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    for left in (ClientGone, ClientDisconnect):  # the second: before the whole body was sent
        app.add_exception_handler(left, on_client_gone)
    app.add_exception_handler(Exception, on_bug)
