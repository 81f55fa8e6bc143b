"""An object of as many unknown fields as a body takes, to every route that reads JSON."""

from __future__ import annotations

import time

import httpx
from attacked import Facts, Server, main, status_of

SIZE = 8 * 2**20 - 100
HEADERS = {"Content-Type": "application/json"}


def unknown_fields() -> bytes:
    parts, size, number = [], 0, 0
    while size < SIZE:
        parts.append(f'"{number:x}":0')
        size += len(parts[-1]) + 1
        number += 1
    return ("{" + ",".join(parts[:-1]) + "}").encode()


def attack(server: Server) -> Facts:
    body, facts = unknown_fields(), {}
    for path in ("/v1/recommend", "/v1/events", "/v1/search"):
        for size, content in (("8 MiB", body), ("1 MiB", body[: 2**20 - 50].rpartition(b",")[0] + b"}")):
            started = time.monotonic()
            status = status_of(
                lambda: httpx.post(f"{server.url}{path}", content=content, headers=HEADERS, timeout=120)  # noqa: B023
            )
            facts[f"{path}, {size}"] = f"{status} after {time.monotonic() - started:.2f} s"
    return facts


if __name__ == "__main__":
    main("an object of unknown fields", attack)
