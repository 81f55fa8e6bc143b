"""`BoundedProtocol`: HTTP/1.1 with bounded heads, silences and connections, before any route runs.

uvicorn's httptools protocol collects the header lines of a request without limit, starts every request of a
pipeline, and loses the body of a request that offers another protocol. Its h11 protocol bounds heads, and
spends 40 % more processor time per recommendation. Neither ends a connection that says nothing, or that drips
its bytes. This one, on httptools, does.
"""

from __future__ import annotations

import asyncio
import json
import math
from http import HTTPStatus
from typing import Any, Literal

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from unimp.serve.connection import DEPARTURE, Departure
from unimp.serve.connection_limits import ConnectionLimits
from unimp.serve.settings import ServeSettings

MOST_PIPELINED = 16
"""Requests that a client may send before the first of them is answered."""
OFFERS = (b"upgrade", b"connection", b"http2-settings")
"""Headers by which a client offers another protocol."""

Phase = Literal["head", "body", "answer"]
"""What the connection is busy with: a head is awaited or arrives, its body arrives, it is or was answered."""


class TooMuch(Exception):
    """A head is too long, or too many requests are pipelined; ends the parsing."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A head must be whole within `head_seconds`, a body within `body_seconds`."""

    settings: ServeSettings
    limits: ConnectionLimits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.phase: Phase = "head"
        self.head_size = 0
        """Bytes of the head that arrives, as far as they are parsed, and of a body's trailers."""
        self.unparsed = 0
        """Bytes that came since the last head or body was whole."""
        self.deadline = math.inf
        """Until then the phase must be over, by the loop's time; an answer takes as long as it takes."""
        self.clock: asyncio.TimerHandle | None = None
        """Looks at the deadline, which may have moved since it was set: one per connection, not per phase."""
        self.departure = Departure()
        self.reading_deadline: asyncio.TimerHandle | None = None
        """Until then the client must have read what was sent."""
        self.admitted: str | None = None
        self.answering: RequestResponseCycle | None = None
        """The request that is being answered; `cycle` is the latest that came."""

    @property
    def bytes_ahead(self) -> int:
        """Of a head that is not whole yet, and of the bodies of requests whose turn has not come."""
        bodies = sum(len(cycle.body) for cycle, _ in self.pipeline)
        return bodies + self.unparsed if self.phase == "head" else bodies

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        refusal = self.limits.admit(address)
        if refusal is not None:
            self._refuse(503, refusal)
            return
        self.admitted = address
        self.limits.open.add(self)
        self._enter("head")

    def connection_lost(self, exc: Exception | None) -> None:
        if self.clock is not None:
            self.clock.cancel()
        self._expect_reading(False)
        self.limits.open.discard(self)
        self.limits.unread.pop(self, None)
        if self.admitted is not None:
            self.limits.release(self.admitted)
            self.admitted = None
        super().connection_lost(exc)
        self.pipeline.clear()
        if self.answering is not None and not self.answering.response_complete:
            self.answering.disconnected = True  # or it would write to the closed connection
            self.answering.message_event.set()
        self.departure.happen()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self.phase == "answer":
            self._enter("head")
        self.unparsed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(data[offer.args[0] :])
        except httptools.HttpParserError:
            self._refuse_unreadable()
        else:
            if self.phase == "head" and self.unparsed > self.settings.head_bytes:
                self._refuse(431, self._too_long())

    def on_message_begin(self) -> None:
        self.head_size = 0
        super().on_message_begin()
        self.scope["extensions"] = {DEPARTURE: self.departure}  # type: ignore[dict-item]

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + len(": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # read again without the offer
        if len(self.pipeline) >= MOST_PIPELINED:
            raise TooMuch
        self._enter("body")
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        if self.pipeline and self.bytes_ahead + len(body) > self.settings.head_bytes:
            raise TooMuch
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._enter("answer")
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading(True)
        self.limits.add_unread(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._expect_reading(False)
        self.limits.unread.pop(self, None)

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading(True)

    def _count(self, size: int) -> None:
        self.head_size += size
        if self.head_size > self.settings.head_bytes:
            raise TooMuch

    def _decline(self, rest: bytes) -> None:
        """Read the head again without its offer of HTTP/2 or websockets, so that its body is read, too."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(400, "CONNECT is for proxies, and this is none; ask with GET, POST, PUT or DELETE")
            return
        kept = [(name, value) for name, value in self.headers if name not in OFFERS]
        if any(name == b"connection" and b"close" in value.lower() for name, value in self.headers):
            kept.append((b"connection", b"close"))
        lines = [b"%s %s HTTP/1.1" % (method, self.url), *(b"%s: %s" % line for line in kept)]
        self.parser = httptools.HttpRequestParser(self)
        self.unparsed = 0
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _refuse_unreadable(self) -> None:
        if self.pipeline:
            self._close()
        elif self.head_size > self.settings.head_bytes:
            self._refuse(431, self._too_long())
        else:
            self._refuse(400, "the request is not valid HTTP/1.1; use an HTTP client")

    def _too_long(self) -> str:
        return f"the request's head is longer than {self.settings.head_bytes:,} bytes; send fewer headers"

    def _enter(self, phase: Phase) -> None:
        """Begin the phase with a deadline of its own."""
        self.phase, self.unparsed = phase, 0
        if phase == "answer":
            self.deadline = math.inf
            return
        seconds = self.settings.head_seconds if phase == "head" else self.settings.body_seconds + 1.0
        self.deadline = self.loop.time() + seconds
        if self.clock is None or self.clock.when() > self.deadline:
            self._wind_clock()

    def _wind_clock(self) -> None:
        if self.clock is not None:
            self.clock.cancel()
        self.clock = self.loop.call_at(self.deadline, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self.clock = None
        if self.loop.time() >= self.deadline:
            self._too_slow()
        elif self.deadline < math.inf:
            self._wind_clock()

    def _expect_reading(self, expected: bool) -> None:
        """Give the client `unread_seconds` to read what was sent, or stop waiting for it."""
        if self.reading_deadline is not None:
            self.reading_deadline.cancel()
            self.reading_deadline = None
        if expected:
            self.reading_deadline = self.loop.call_later(self.settings.unread_seconds, self.transport.abort)

    def _close(self) -> None:
        """Close when the client has read what was sent, or has had the time for it."""
        if not self.transport.is_closing():
            self.transport.close()
            self._expect_reading(True)

    def _too_slow(self) -> None:
        """The application answers slow bodies itself, a second earlier, when it reads them."""
        if self.phase == "head" and self.unparsed:
            self._refuse(408, f"the request's head took more than {self.settings.head_seconds:g} seconds")
        else:
            self._close()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer with a problem document unless another answer has begun, and close."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            title = HTTPStatus(status).phrase
            problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
            body = json.dumps(problem).encode()
            lines = [
                f"HTTP/1.1 {status} {title}",
                "content-type: application/problem+json",
                f"content-length: {len(body)}",
                "connection: close",
                *(["retry-after: 1"] if status == 503 else []),
            ]
            self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self._close()


def bounded_protocol(settings: ServeSettings) -> type[BoundedProtocol]:
    """The protocol class of one server: uvicorn makes an instance per connection."""
    limits = ConnectionLimits(settings)
    return type("ServerProtocol", (BoundedProtocol,), {"settings": settings, "limits": limits})
