"""`ServeSettings`: the limits of one server."""

from __future__ import annotations

from unimp.core.config import Config

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


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
    body_bytes: int = 8 * 2**20
    """Largest request body on routes that take a picture."""
    text_bytes: int = 2**20
    """Largest request body on all other routes."""
    held_bytes: int = 128 * 2**20
    """Bodies of all requests in flight together; above it large ones are refused with 503."""
    body_seconds: float = 20.0
    """How long a body may take to arrive."""
    answer_seconds: float = 30.0
    """How long a question may wait and be worked on before it is given up with 503."""
    picture_bytes: int = 6 * 2**20
    """Largest picture file."""
    picture_pixels: int = 16_000_000
    """Most pixels of a picture; checked before it is decoded."""
    decoding_bytes: int = 256 * 10**6
    """Memory of all pictures that are being decoded, at 16 bytes a pixel; others wait for their turn."""
    batch: int = 64
    """Most requests answered by one call of the model; 1: each alone."""
    prefix_cache_bytes: int = 256 * 2**20
    """Bound of the model's cached prefixes of users' histories; 0: none is cached."""
    history_cache_bytes: int = 64 * 2**20
    """Bound of the cached histories of users; 0: each is read from the store."""
    picture_cache_bytes: int = 32 * 2**20
    """Bound of the cached pictures of items that browsers are sent."""
    sync_seconds: float = 1.0
    """How often the store is read for what other servers wrote."""
    waiting: int = 512
    """Most questions that wait; the next one is refused with 503."""
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


def is_loopback(host: str) -> bool:
    return host in LOOPBACK
