"""A client that costs little, so that what is measured is the server: HTTP/1.1 on bare streams."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LENGTH = b"content-length:"


@dataclass
class Tally:
    """What became of the requests of one kind."""

    seconds: float = 0.0
    """Wall-clock time in which they were answered."""
    cpu_seconds: float = 0.0
    """Processor time that the server spent meanwhile."""
    errors: int = 0
    latencies: list[float] = field(default_factory=list)

    def facts(self) -> dict[str, float]:
        p50, p95, p99 = np.percentile(np.array(self.latencies) * 1000, [50, 95, 99]).round(1).tolist()
        count = len(self.latencies)
        return {
            "requests": count,
            "errors": self.errors,
            "per_second": round(count / self.seconds, 1),
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "server_cpu_ms": round(1000 * self.cpu_seconds / count, 3),
        }


def request(port: int, path: str, document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def client(port: int, requests: Sequence[bytes], until: float, tally: Tally) -> None:
    """Ask again as soon as the answer is there; at the end of the list from its beginning."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = 0
    while time.monotonic() < until:
        started = time.perf_counter()
        writer.write(requests[asked % len(requests)])
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        start = head.index(LENGTH) + len(LENGTH)
        await reader.readexactly(int(head[start : head.index(b"\r", start)]))
        tally.latencies.append(time.perf_counter() - started)
        tally.errors += head[9:12] != b"200"
        asked += 1
    writer.close()


async def run_clients(
    port: int, requests: Sequence[bytes], clients: int, seconds: float, tally: Tally
) -> None:
    """`clients` at once for about so long; each has a part of the requests for itself."""
    started = time.monotonic()
    until = started + seconds
    parts = [requests[number::clients] for number in range(clients)]
    await asyncio.gather(*(client(port, part, until, tally) for part in parts))
    tally.seconds += time.monotonic() - started


async def ask_each_once(port: int, requests: Sequence[bytes], clients: int = 16) -> None:
    async def some(part: Sequence[bytes]) -> None:
        for one in part:
            await client(port, [one], time.monotonic() + 1e-3, Tally())

    await asyncio.gather(*(some(requests[number::clients]) for number in range(clients)))
