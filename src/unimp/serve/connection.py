"""A client that goes away cancels its work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.requests import Request

Answer = TypeVar("Answer")

CLIENT_GONE = 499
"""nginx's status for it; nobody reads it but the metrics."""
DEPARTURE = "unimp.departure"
"""The ASGI extension that holds the connection's `Departure`."""


class ClientGone(Exception):
    """Nobody is there to read the answer."""


class Departure:
    """Tells those who watch it that the client of one connection has gone.

    Under another server than ours a task waits for the disconnect instead, which costs every request more.
    """

    def __init__(self) -> None:
        self.happened = False
        self.watchers: set[Callable[[], None]] = set()

    def happen(self) -> None:
        self.happened = True
        for watcher in tuple(self.watchers):
            watcher()

    @contextmanager
    def watched(self, watcher: Callable[[], None]) -> Iterator[None]:
        """Call `watcher` when the client goes within the block."""
        self.watchers.add(watcher)
        try:
            yield
        finally:
            self.watchers.discard(watcher)


async def while_connected(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of `work`, which is cancelled when the client disconnects (after its body was read)."""
    working, gone = asyncio.current_task(), False
    assert working is not None

    def stop() -> None:
        nonlocal gone
        gone = True
        working.cancel()

    departure: Departure | None = request.scope.get("extensions", {}).get(DEPARTURE)
    try:
        if departure is None:
            with awaited_departure(request, stop):
                return await work
        if departure.happened:
            work.close()
            raise ClientGone
        with departure.watched(stop):
            return await work
    except asyncio.CancelledError:
        if gone and not working.uncancel():
            raise ClientGone from None
        raise


@contextmanager
def awaited_departure(request: Request, watcher: Callable[[], None]) -> Iterator[None]:
    """Call `watcher` when the application is told within the block that the client has gone."""
    finished = False

    async def wait() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        if not finished:
            watcher()

    leaving = asyncio.ensure_future(wait())
    try:
        yield
    finally:
        finished = True
        leaving.cancel()
