"""`ServeSettings`: the limits of one server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self

from pydantic import field_validator

from unimp.core.config import Config
from unimp.core.errors import ConfigError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
"""2GiB, 500 MB, 1.5g."""
WORKING_BYTES = 192 * 2**20
"""Of a server's memory, for calls of the model, connections and the programs that decode pictures."""
LEAST_BYTES = 128 * 2**20
"""To be divided; with less a body with a picture would not fit its share."""
BODY_COPIES = 3
"""A body is held as bytes, as text while it is parsed, and as the picture in it."""
PIXEL_BYTES, WEBP_PIXEL_BYTES = 16, 24
"""Memory of a pixel while a picture is decoded and laid on white: measured 8 (JPEG) to 13 (transparent PNG),
in WebP up to 21."""


class ServeSettings(Config):
    """Limits of one server."""

    keys: bool = True
    """Ask for an API key; may be off only where the server listens on loopback."""
    requests_per_second: float = 50.0
    """Per key, on average; 0: unlimited."""
    burst: int = 100
    """Requests that a key may send at once after a rest."""
    head_bytes: int = 16 * 2**10
    """Largest head of a request: its first line and its headers."""
    head_seconds: float = 10.0
    """How long a head may take to arrive, and a new connection may stay silent."""
    idle_seconds: int = 20
    """How long a connection may stay silent after an answer."""
    body_bytes: int = 8 * 2**20
    """Largest request body on routes that take a picture."""
    text_bytes: int = 2**20
    """Largest request body on all other routes."""
    held_bytes: int = 128 * 2**20
    """Bodies of all requests in flight together; above it large ones are refused with 503.

    Their memory is up to three times that: as bytes, as text while it is parsed, and as the picture in it."""
    body_seconds: float = 20.0
    """How long a body may take to arrive."""
    unread_seconds: float = 20.0
    """How long a client may leave an answer unread before its connection is cut."""
    unread_bytes: int = 64 * 2**20
    """Answers that clients do not read, beyond 64 KiB each; above it the slowest one's connection is cut."""
    answer_seconds: float = 30.0
    """How long a question may wait and be worked on before it is given up with 503."""
    picture_bytes: int = 6 * 2**20
    """Largest picture file."""
    picture_pixels: int = 16_000_000
    """Most pixels of a picture; checked before it is decoded."""
    decoding_bytes: int = 256_000_000
    """Memory of all pictures that are being decoded, at 16 bytes a pixel, 24 in WebP; others wait for their
    turn, and what alone takes more is refused."""
    batch: int = 64
    """Most requests answered by one call of the model; 1: each alone."""
    prefix_cache_bytes: int = 256 * 2**20
    """Bound of the model's cached prefixes of users' histories; 0: none is cached."""
    history_cache_bytes: int = 64 * 2**20
    """Bound of the cached histories of users; 0: each is read from the store."""
    picture_cache_bytes: int = 32 * 2**20
    """Bound of the cached pictures of items that browsers are sent."""
    sync_seconds: float = 0.5
    """How often the store is read for what other servers wrote."""
    waiting: int = 512
    """Most questions that wait; the next one is refused with 503."""
    waiting_bytes: int = 64 * 2**20
    """Memory of all questions that wait: histories, pictures at the model's size; 503 above it."""
    waiting_long_per_client: int = 8
    """Most requests of one key that wait for writing or drawing, per task; the next is refused with 429."""
    in_flight: int = 1024
    """Most requests in flight."""
    connections: int = 4096
    """Most open connections, if the system allows the process so many files."""
    connections_per_address: int = 256
    """Most open connections from one address; loopback and trusted proxies are not counted."""
    trusted_proxies: frozenset[str] = frozenset()
    """Addresses of reverse proxies, whose X-Forwarded-For names the client."""
    history_events: int = 500
    """Latest stored events of a user that are read."""
    shutdown_seconds: int = 30
    """How long a stopping server works on what is in flight."""

    @field_validator("*")
    @classmethod
    def check_sign(cls, value: Any) -> Any:
        """A limit is no negative number."""
        if isinstance(value, int | float) and value < 0:
            raise ValueError("must not be negative")
        return value

    def within(self, memory: int, resident: int) -> Self:
        """With every cache and queue bounded so that the server stays within `memory` bytes.

        `resident`: bytes that the loaded model and its catalogue take. ConfigError when too little is left.
        """
        budget = memory - resident - WORKING_BYTES
        if budget < LEAST_BYTES:
            least = (resident + WORKING_BYTES + LEAST_BYTES) // 2**20 + 1
            raise ConfigError(
                f"--memory: {memory // 2**20:,} MiB are too few: model and catalogue take "
                f"{resident // 2**20:,} MiB; give at least {least:,}MiB"
            )
        decoding = min(budget // 4, 2 * PIXEL_BYTES * self.picture_pixels)
        bounds = {
            "decoding_bytes": decoding,
            "picture_pixels": min(self.picture_pixels, decoding // PIXEL_BYTES),
            "held_bytes": budget * 18 // 100 // BODY_COPIES,
            "history_cache_bytes": budget // 10,
            "picture_cache_bytes": budget // 20,
            "waiting_bytes": budget // 20,
            "unread_bytes": budget // 20,
        }
        shared = decoding + sum(budget * share // 100 for share in (18, 10, 5, 5, 5))
        return self.model_copy(update=bounds | {"prefix_cache_bytes": budget - shared})


def settings_table() -> str:
    """Every setting with its default and meaning, as Markdown; for the documentation."""
    rows = [
        f"| `{name}` | {shown(name, field.default)} | {' '.join(str(field.description).split())} |"
        for name, field in ServeSettings.model_fields.items()
    ]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def shown(name: str, default: Any) -> str:
    """A default for people: 16 KiB, 4,096, 30 s."""
    if isinstance(default, frozenset):
        return "none"
    if isinstance(default, bool):
        return "yes" if default else "no"
    if name.endswith("_seconds"):
        return f"{default:g} s"
    for power, unit in ((20, "MiB"), (10, "KiB")):
        if name.endswith("_bytes") and default and default % 2**power == 0:
            return f"{default // 2**power:,} {unit}"
    return f"{default:,}"


def parse_bytes(text: str) -> int:
    """`2GiB` in bytes: powers of 1,024 with an i, else of 1,000; ConfigError for anything else."""
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"--memory {text!r}: not a size; write it as 2GiB or 1500MB")
    number, prefix, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** " KMGT".index(prefix.upper() or " "))


def resident_bytes() -> int:
    """Memory that this process holds; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def is_loopback(host: str) -> bool:
    return host in LOOPBACK
