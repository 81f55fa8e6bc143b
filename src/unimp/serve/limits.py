"""How much one request, and all requests together, may send; how often a key may ask."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from unimp.serve.settings import ServeSettings

SIGN_IN_BYTES = 1024
"""Largest sign-in form: one key."""
SMALL_BODY = 64 * 2**10
"""A body of this size is taken however much other requests hold."""
MOST_VALUES = 100_000
"""Values in a JSON body, counted by its commas: eight mebibytes of short keys take seconds to parse."""
REMEMBERED = 10_000
"""Names whose rate is remembered."""
REMEMBERED_BYTES = 400
"""Estimated memory of one of them."""


@dataclass
class BodyLimits:
    """The largest body by method and path, and what the bodies of all requests in flight hold."""

    settings: ServeSettings
    picture_paths: frozenset[str]
    """Where a POST may send a picture."""
    held: int = field(default=0, init=False)

    @property
    def max_bytes(self) -> int:
        """Small bodies are taken beside what is bounded."""
        return self.settings.held_bytes + self.settings.in_flight * SMALL_BODY

    def limit(self, method: str, path: str) -> int:
        """In bytes."""
        if path == "/sign-in":
            return SIGN_IN_BYTES
        if path in self.picture_paths or (method == "PUT" and path.startswith("/v1/items/")):
            return self.settings.body_bytes
        return min(self.settings.text_bytes, self.settings.body_bytes)

    def check_held(self, size: int) -> None:
        """503 for what is not small while all requests together hold too much."""
        if self.held > self.settings.held_bytes and size > SMALL_BODY:
            raise HTTPException(
                503,
                "too many large bodies at once; try again in a moment",
                {"Retry-After": "1", "Connection": "close"},
            )

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Count a file that a request holds beside its body."""
        self.held += size
        try:
            self.check_held(size)
            yield
        finally:
            self.held -= size


class BoundedBody:
    """A request's body, counted as it arrives and given only so long. Routes get `receive`."""

    def __init__(self, limits: BodyLimits, limit: int, receive: Receive, *, is_file: bool) -> None:
        self.limits, self.limit, self.wrapped, self.is_file = limits, limit, receive, is_file
        self.size, self.values, self.ended = 0, 0, False
        self.deadline = time.monotonic() + limits.settings.body_seconds

    async def receive(self) -> Message:
        """413 for too large, 408 for too slow, 503 when all requests together hold too much."""
        if self.ended:
            return await self.wrapped()  # waits for the disconnect
        try:
            async with asyncio.timeout(max(0.0, self.deadline - time.monotonic())):
                message = await self.wrapped()
        except TimeoutError:
            seconds = self.limits.settings.body_seconds
            raise HTTPException(
                408,
                f"the body took more than {seconds:g} seconds to arrive; send less, or faster",
                {"Connection": "close"},
            ) from None
        arrived = len(message.get("body", b""))
        self.size += arrived
        self.limits.held += arrived
        self.ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        if self.size > self.limit:
            raise too_large(self.limit)
        if not self.is_file:
            self.values += message.get("body", b"").count(b",")
            if self.values > MOST_VALUES:
                raise HTTPException(
                    413, f"the body holds more than {MOST_VALUES:,} values; send less at once"
                )
        self.limits.check_held(self.size)
        return message

    def release(self) -> None:
        """The request is answered."""
        self.limits.held -= self.size
        self.size = 0


def too_large(limit: int) -> HTTPException:
    return HTTPException(
        413, f"the body is larger than {limit:,} bytes; send less at once", {"Connection": "close"}
    )


class Rates:
    """A token bucket per name, of the latest names."""

    max_bytes = REMEMBERED * REMEMBERED_BYTES

    def __init__(self, settings: ServeSettings) -> None:
        self.speed, self.burst = settings.requests_per_second, float(settings.burst)
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Held now."""
        return len(self.buckets) * REMEMBERED_BYTES

    def check(self, name: str) -> None:
        """Take a token; 429 with Retry-After when there is none."""
        if self.speed <= 0:
            return
        now = time.monotonic()
        tokens, last = self.buckets.pop(name, (self.burst, now))
        tokens = min(self.burst, tokens + (now - last) * self.speed)
        self.buckets[name] = (tokens - 1 if tokens >= 1 else tokens, now)
        while len(self.buckets) > REMEMBERED:
            self.buckets.popitem(last=False)
        if tokens < 1:
            seconds = max(1, round((1 - tokens) / self.speed))
            raise HTTPException(
                429, f"more than {self.speed:g} requests per second; slow down", {"Retry-After": str(seconds)}
            )
