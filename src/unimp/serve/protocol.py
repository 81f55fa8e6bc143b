"""`BoundedProtocol`: HTTP/1.1 with bounded heads, silences and connections, before any route runs.

uvicorn's httptools protocol collects the header lines of a request without limit; its h11 protocol bounds
them. Neither ends a connection that says nothing, or that drips its bytes. This one does.
"""

from __future__ import annotations

import asyncio
import json
import resource
from collections import Counter
from typing import Any, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from unimp.serve.settings import LOOPBACK, ServeSettings

RESERVED_DESCRIPTORS = 128
"""Open files that are no connections: the store, pictures, the program itself."""

Phase = Literal["head", "body", "answer"]


class ConnectionLimits:
    """Counts the open connections of one server, in all and per address."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.most = min(settings.connections, raise_descriptor_limit() - RESERVED_DESCRIPTORS)
        self.by_address: Counter[str] = Counter()

    def admit(self, address: str) -> str | None:
        """Count the connection; the reason why not when there are too many."""
        limit = self.settings.connections_per_address
        shared = address in self.settings.trusted_proxies or address in LOOPBACK or not address
        if self.by_address.total() >= self.most:
            return f"more than {self.most:,} connections are open; try again in a moment"
        if not shared and self.by_address[address] >= limit:
            return f"more than {limit:,} connections from one address are open; close some"
        self.by_address[address] += 1
        return None

    def release(self, address: str) -> None:
        self.by_address[address] -= 1
        if not self.by_address[address]:
            del self.by_address[address]


def raise_descriptor_limit() -> int:
    """Allow the process as many open files as the system lets it; how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 65_536)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return hard


class BoundedProtocol(H11Protocol):
    """One connection. A head must be whole within `head_seconds`, a body within `body_seconds`."""

    settings: ServeSettings
    limits: ConnectionLimits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.phase: Phase | None = None
        self.deadline: asyncio.TimerHandle | None = None
        self.admitted: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        refusal = self.limits.admit(address)
        if refusal is not None:
            self._refuse(503, refusal)
            return
        self.admitted = address
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
        if self.admitted is not None:
            self.limits.release(self.admitted)
            self.admitted = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch()

    def handle_events(self) -> None:
        """As uvicorn does, but a head that came whole and is too long is refused, too."""
        if self.conn.their_state is h11.IDLE:
            limit, head = self.settings.head_bytes, self.conn.trailing_data[0]
            if len(head) > limit and head.find(b"\n\r\n", 0, limit + 3) < 0:
                self._refuse(431, self._too_long())
                return
        super().handle_events()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        if len(self.conn.trailing_data[0]) > self.settings.head_bytes:
            self._refuse(431, self._too_long())
        else:
            self._refuse(400, "the request is not valid HTTP/1.1; use an HTTP client")

    def _unsupported_upgrade_warning(self) -> None:
        """A client may offer HTTP/2 or websockets; it is answered by HTTP/1.1 without a word."""

    def _too_long(self) -> str:
        return f"the request's head is longer than {self.settings.head_bytes:,} bytes; send fewer headers"

    def _watch(self) -> None:
        """Start the phase's clock when the connection has entered a new phase."""
        state = self.conn.their_state
        phase: Phase = "head" if state is h11.IDLE else "body" if state is h11.SEND_BODY else "answer"
        if phase == self.phase:
            return
        self.phase = phase
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
        if phase != "answer":
            seconds = self.settings.head_seconds if phase == "head" else self.settings.body_seconds + 1.0
            self.deadline = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        """The application answers slow bodies itself, a second earlier, when it reads them."""
        if self.phase == "head" and self.conn.trailing_data[0]:
            self._refuse(408, f"the request's head took more than {self.settings.head_seconds:g} seconds")
        else:
            self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer with a problem document, and close."""
        if self.transport.is_closing():
            return
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = json.dumps({"type": "about:blank", "status": status, "detail": detail}).encode()
            headers = {
                "content-type": "application/problem+json",
                "content-length": str(len(body)),
                "connection": "close",
            }
            if status == 503:
                headers["retry-after"] = "1"
            response = h11.Response(status_code=status, headers=list(headers.items()))
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def bounded_protocol(settings: ServeSettings) -> type[BoundedProtocol]:
    """The protocol class of one server: uvicorn makes an instance per connection."""
    limits = ConnectionLimits(settings)
    return type("ServerProtocol", (BoundedProtocol,), {"settings": settings, "limits": limits})
