"""Routes under /v1, one file per noun, and health."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from unimp.serve.service import Service


async def service_of(request: Request) -> Service:
    """Not a plain function: FastAPI would call it in a thread, for every request."""
    service: Service = request.app.state.service
    return service


async def client_of(request: Request) -> str:
    """The name under which the request's shares are counted: that of its key."""
    name: str = request.state.principal.name
    return name


Served = Annotated[Service, Depends(service_of)]
Client = Annotated[str, Depends(client_of)]
