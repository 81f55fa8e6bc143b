"""One route per task, made from its class."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.routing import request_response

from unimp.serve.connection import while_connected
from unimp.serve.examples import answered
from unimp.serve.request_bodies import read_request
from unimp.serve.security import READ, principal_with
from unimp.serve.service import Service
from unimp.tasks import TASKS
from unimp.tasks.forms import RequestField, request_fields
from unimp.tasks.task import AnyTask

PREFIX = "/v1"
FORM_TYPES: dict[type, str] = {int: "integer", float: "number", bool: "boolean"}


class TaskRoute(APIRoute):
    """A route of FastAPI's, in its document like others, that calls the endpoint with the request alone.

    FastAPI's dependencies, their exit stacks and the search through included routers cost more processor time
    than all else that a brief request needs of the event loop.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = request_response(endpoint)


def add_task_routes(router: APIRouter) -> None:
    """A POST route for every task that is installed, and for its aliases."""
    for task in TASKS.values():
        for name in (task.command, *task.aliases):
            router.add_api_route(
                f"{PREFIX}/{name}",
                endpoint(task),
                route_class_override=TaskRoute,
                methods=["POST"],
                tags=["tasks"],
                name=task.command,
                summary=task.summary,
                description=task.Request.__doc__,
                response_model=task.Answer,
                responses=answered(dict(task.answer_example)),
                openapi_extra={"requestBody": body_schema(task)},
                include_in_schema=name == task.command,
            )


def endpoint(task: type[AnyTask]) -> Callable[[Request], Awaitable[Response]]:
    """The function of the task's route."""
    answer_type: TypeAdapter[Any] = TypeAdapter(task.Answer)

    async def answer(request: Request) -> Response:
        client = principal_with(READ, request).name
        service: Service = request.app.state.service
        asked = await read_request(request, task.Request)
        found = await while_connected(request, service.answer(task, asked, client))
        if task.makes_files:  # pictures become PNG files here, which takes too long for the event loop
            document = await anyio.to_thread.run_sync(answer_type.dump_json, found)
        else:
            document = answer_type.dump_json(found)
        return Response(document, media_type="application/json")

    return answer


def body_schema(task: type[AnyTask]) -> dict[str, Any]:
    """What the body holds, for the OpenAPI document."""
    content: dict[str, Any] = {"application/json": {"schema": task.Request.model_json_schema()}}
    if task.Request.picture_field is not None:
        fields = {field.name: form_schema(field) for field in request_fields(task.Request)}
        who = {
            "user": {"type": "string"},
            "history": {"type": "string", "description": "Item ids, oldest first, separated by commas."},
        }
        schema = {"type": "object", "properties": who | fields}
        content["multipart/form-data"] = {"schema": schema, "example": task.Request.example()}
    return {"required": True, "content": content}


def form_schema(field: RequestField) -> dict[str, Any]:
    """One field of a form."""
    if issubclass(field.kind, str | list | dict) or field.kind in FORM_TYPES:
        return {"type": FORM_TYPES.get(field.kind, "string"), "description": field.help}
    return {"type": "string", "format": "binary", "description": field.help}
