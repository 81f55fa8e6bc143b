"""A client that goes away cancels its work."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

Answer = TypeVar("Answer")

CLIENT_GONE = 499
"""nginx's status for it; nobody reads it but the metrics."""


class ClientGone(Exception):
    """Nobody is there to read the answer."""


async def while_connected(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of `work`, which is cancelled when the client disconnects (after its body was read)."""
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(departure(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for waiter in (task, leaving):
            waiter.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def departure(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
