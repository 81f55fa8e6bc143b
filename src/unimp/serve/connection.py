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
    working, finished, gone = asyncio.current_task(), False, False
    assert working is not None

    def stop(_: asyncio.Future[None]) -> None:
        nonlocal gone
        if not finished:
            gone = True
            working.cancel()

    leaving = asyncio.ensure_future(departure(request))
    leaving.add_done_callback(stop)
    try:
        return await work
    except asyncio.CancelledError:
        if gone and not working.uncancel():
            raise ClientGone from None
        raise
    finally:
        finished = True
        leaving.cancel()


async def departure(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
