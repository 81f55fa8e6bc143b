"""Who sends a request and what they may do; decided before any of the body is read."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from dataclasses import dataclass
from typing import Any

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from unimp.core.errors import ConfigError
from unimp.serve.limits import Rates
from unimp.serve.settings import LOOPBACK, ServeSettings
from unimp.serve.store.records import ApiKey
from unimp.serve.store.store import Store, digest

READ, WRITE_EVENTS, ADMIN = "read", "write-events", "admin"
ROLES = frozenset({READ, WRITE_EVENTS, ADMIN})
COOKIE = "unimp_key"
FRESH_SECONDS = 10.0
"""How old the table of keys may be for a key in it; a removed key works no longer than this."""
MISSED_SECONDS = 1.0
"""How old it may be for a key that is not in it; a new key works after this."""
STALE_SECONDS = 300.0
"""How long known keys are accepted while the store is away."""
KNOWN_WAIT_SECONDS = 0.5
"""How long a known key waits for the store before it is accepted without."""
MOST_NAME = 64
"""Letters of a key's name."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def new_secret() -> str:
    return "unimp_" + secrets.token_urlsafe(32)


def parse_roles(text: str) -> frozenset[str]:
    """ConfigError for a role that does not exist."""
    roles = frozenset(part.strip() for part in text.split(",") if part.strip())
    if not roles or roles - ROLES:
        wrong = ", ".join(sorted(roles - ROLES)) or "none given"
        raise ConfigError(f"--role: {wrong}; known: {', '.join(sorted(ROLES))}")
    return roles


def check_key_name(name: str) -> str:
    """ConfigError for a name that the store cannot hold or nobody can read."""
    if not 1 <= len(name) <= MOST_NAME or not name.isprintable() or name != name.strip():
        raise ConfigError(
            f"key name {name[:MOST_NAME]!r}: must be 1 to {MOST_NAME} visible letters; choose another"
        )
    return name


@dataclass(frozen=True)
class Principal:
    """Whoever sent the request."""

    name: str
    roles: frozenset[str]

    def may(self, role: str) -> bool:
        return role in self.roles or ADMIN in self.roles


def needs(role: str) -> Any:
    """A dependency: 403 unless the key has the role."""

    async def check(request: Request) -> Principal:  # a plain function would cost a thread per request
        return principal_with(role, request)

    return check


def principal_with(role: str, request: Request) -> Principal:
    """Whoever sent the request; 403 unless they have the role."""
    principal: Principal = request.state.principal
    if not principal.may(role):
        raise HTTPException(403, f'key "{principal.name}" lacks the role {role}; use one that has it')
    return principal


class Keys:
    """All keys of the store, by digest: a request's key is found without asking the store.

    A wrong key costs neither the store nor anybody else anything, so it cannot lock valid keys out.
    """

    def __init__(self, store: Store, settings: ServeSettings, rates: Rates) -> None:
        self.store, self.settings, self.rates = store, settings, rates
        self.table: dict[str, ApiKey] = {}
        self.read_at = -math.inf
        self.failed_at = -math.inf
        self.reading: asyncio.Future[None] | None = None

    async def principal(self, connection: HTTPConnection) -> Principal:
        """401 without a valid key; where keys are off, everyone on this machine is administrator."""
        address = client_address(connection, self.settings.trusted_proxies)
        if not self.settings.keys:
            return Principal(address, ROLES)
        secret = secret_of(connection)
        key = await self.find(secret, address) if secret else None
        if key is None:
            what = "unknown API key" if secret else "an API key is needed"
            raise HTTPException(
                401, f"{what}; send it as Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"}
            )
        return Principal(key.name, key.roles)

    async def find(self, secret: str, address: str) -> ApiKey | None:
        """The key that `secret` is, or None; 429 when the address tries too many wrong ones."""
        name = digest(secret)
        known = name in self.table
        await self._refresh(FRESH_SECONDS if known else MISSED_SECONDS, known)
        key = self.table.get(name)
        if key is None:
            self.rates.check(f"wrong keys from {address}")
        return key

    async def _refresh(self, seconds: float, known: bool) -> None:
        """Read the keys anew when the table is older than that.

        While the store is away or slow, known keys are accepted for a while, without waiting each time.
        """
        now = time.monotonic()
        if now - self.read_at < seconds:
            return
        spared = known and now - self.read_at < STALE_SECONDS
        if spared and now - self.failed_at < FRESH_SECONDS:
            return
        if self.reading is None or self.reading.done():
            self.reading = asyncio.ensure_future(self._read())
        await asyncio.wait({self.reading}, timeout=KNOWN_WAIT_SECONDS if spared else None)
        if self.reading.done() and self.reading.exception() is None:
            return
        if not spared:
            self.reading.result()
        self.failed_at = time.monotonic()

    async def _read(self) -> None:
        started = time.monotonic()
        self.table = await anyio.to_thread.run_sync(self.store.keys_by_digest)
        self.read_at = started


def client_address(connection: HTTPConnection, trusted: frozenset[str]) -> str:
    """Of the client, or of the nearest machine before it that is no trusted proxy."""
    address = connection.client.host if connection.client else "local"
    if address not in trusted:
        return address
    forwarded = [part.strip() for part in connection.headers.get("x-forwarded-for", "").split(",")]
    while address in trusted and forwarded and forwarded[-1]:
        address = forwarded.pop()[:64]
    return address


def secret_of(connection: HTTPConnection) -> str | None:
    """From the Authorization header, else X-API-Key, else the page's cookie."""
    kind, _, value = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and value:
        return value.strip()
    return connection.headers.get("x-api-key") or connection.cookies.get(COOKIE)


def check_origin(connection: HTTPConnection, method: str, *, keys: bool) -> None:
    """403 for a page of another site that writes here, and, without keys, for any host but loopback.

    The second stops a stranger's web page from reaching an open server through a name that resolves to
    this machine.
    """
    host = connection.headers.get("host", "").lower()
    if not keys and host_name(host) not in LOOPBACK:
        raise HTTPException(
            403, f'host "{host[:80]}" is not this machine; ask for 127.0.0.1, or serve with --keys'
        )
    origin = connection.headers.get("origin")
    if origin is not None and method not in SAFE_METHODS and origin.partition("://")[2].lower() != host:
        raise HTTPException(
            403, f'a page of "{origin[:80]}" may not write here; send it from your own server'
        )


def host_name(host: str) -> str:
    """Without the port; `[::1]:8000` is `::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
