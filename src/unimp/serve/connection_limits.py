"""`ConnectionLimits`: how many connections one server holds, and how much of them."""

from __future__ import annotations

import resource
from collections import Counter
from typing import TYPE_CHECKING

from unimp.serve.metrics import BytesHeld
from unimp.serve.settings import LOOPBACK, ServeSettings

if TYPE_CHECKING:
    from unimp.serve.protocol import BoundedProtocol

RESERVED_DESCRIPTORS = 128
"""Open files that are no connections: the store, pictures, the program itself."""


class ConnectionLimits:
    """Counts the open connections of one server, in all and per address, and what they hold."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.most = min(settings.connections, raise_descriptor_limit() - RESERVED_DESCRIPTORS)
        self.by_address: Counter[str] = Counter()
        self.open: set[BoundedProtocol] = set()
        self.unread: dict[BoundedProtocol, None] = {}
        """Connections whose clients do not read what was sent, the slowest first."""

    def holders(self) -> dict[str, BytesHeld]:
        """For the metrics."""
        heads = 2 * self.most * self.settings.head_bytes
        return {
            "heads": BytesHeld(lambda: sum(protocol.bytes_ahead for protocol in self.open), heads),
            "answers": BytesHeld(self.bytes_unread, self.settings.unread_bytes),
        }

    def bytes_unread(self) -> int:
        """Of answers to those who do not read."""
        return sum(protocol.transport.get_write_buffer_size() for protocol in self.unread)

    def add_unread(self, protocol: BoundedProtocol) -> None:
        """A client does not read; when all together do not read too much, the slowest are cut."""
        self.unread[protocol] = None
        while self.bytes_unread() > self.settings.unread_bytes:
            slowest = next(iter(self.unread))
            del self.unread[slowest]
            slowest.loop.call_soon(slowest.transport.abort)

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
