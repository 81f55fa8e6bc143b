"""What the service allows itself and others."""

from __future__ import annotations

from typing import Literal

from unimp.core.config import Config

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ServeSettings(Config):
    """Limits and switches of one server."""

    keys: bool = True
    """Ask for an API key; may be off only where the server listens on loopback."""
    requests_per_second: float = 50.0
    """Per key, on average; 0: unlimited."""
    burst: int = 100
    """Requests that a key may send at once after a rest."""
    body_bytes: int = 8 * 2**20
    """Largest request body."""
    body_seconds: float = 20.0
    """How long a body may take to arrive."""
    answer_seconds: float = 30.0
    """How long a question may wait and be worked on before it is given up with 503."""
    picture_bytes: int = 6 * 2**20
    """Largest picture file."""
    picture_pixels: int = 16_000_000
    """Most pixels of a picture; checked before it is decoded."""
    batch: int = 64
    """Most requests answered by one call of the model."""
    batching: bool = True
    """Answer what waits together by one call; off for measurements only."""
    keep: Literal["users", "items", "nothing"] = "users"
    """What stays in memory between requests: the item table and what was read of users, the item table alone,
    or nothing; the last two are for measurements."""
    warm_bytes: int = 256 * 2**20
    """Most memory for the model's states of users."""
    past_bytes: int = 64 * 2**20
    """Most memory for the histories of users."""
    news_seconds: float = 1.0
    """How often the store is asked what other servers wrote."""
    waiting: int = 512
    """Most questions that wait; the next one is refused with 503."""
    connections: int = 1024
    """Most requests in flight."""
    history_events: int = 500
    """Latest stored events of a user that are read."""
    shutdown_seconds: int = 30
    """How long a stopping server works on what is in flight."""


def is_loopback(host: str) -> bool:
    return host in LOOPBACK
