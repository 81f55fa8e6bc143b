"""Who asks: keys, roles, rates. Decided before any of the body is read."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from unimp.core.errors import ConfigError
from unimp.serve.settings import LOOPBACK, ServeSettings
from unimp.serve.store.store import ApiKey, Store, digest

READ, WRITE_EVENTS, ADMIN = "read", "write-events", "admin"
ROLES = frozenset({READ, WRITE_EVENTS, ADMIN})
COOKIE = "unimp_key"
REMEMBERED_SECONDS = 10.0
"""How long a key that was found is not looked up again; a removed key works no longer than this."""
REMEMBERED = 10_000
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
        principal: Principal = request.state.principal
        if not principal.may(role):
            raise HTTPException(403, f'key "{principal.name}" lacks the role {role}; use one that has it')
        return principal

    return check


class Keys:
    """Finds the principal of a request."""

    def __init__(self, store: Store, settings: ServeSettings, rates: Rates) -> None:
        self.store, self.settings, self.rates = store, settings, rates
        self.found: OrderedDict[str, tuple[float, ApiKey]] = OrderedDict()

    async def principal(self, connection: HTTPConnection) -> Principal:
        """401 without a valid key; where keys are off, everyone on this machine is administrator."""
        if not self.settings.keys:
            return Principal(host_of(connection), ROLES)
        secret = secret_of(connection)
        key = await self.look_up(secret, host_of(connection)) if secret else None
        if key is None:
            what = "unknown API key" if secret else "an API key is needed"
            raise HTTPException(
                401, f"{what}; send it as Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"}
            )
        return Principal(key.name, key.roles)

    async def look_up(self, secret: str, host: str) -> ApiKey | None:
        """Guessing is as slow as the rate of one key; known keys are remembered for a while."""
        name, now = digest(secret), time.monotonic()
        if name in self.found and now - self.found[name][0] < REMEMBERED_SECONDS:
            return self.found[name][1]
        self.rates.check(f"look-up from {host}")
        key = await anyio.to_thread.run_sync(partial(self.store.key, secret))
        self.found.pop(name, None)
        if key is not None:
            self.found[name] = (now, key)
            while len(self.found) > REMEMBERED:
                self.found.popitem(last=False)
        return key


def host_of(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else "local"


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
    host = connection.headers.get("host", "")
    if not keys and host_name(host) not in LOOPBACK:
        raise HTTPException(
            403, f'host "{host[:80]}" is not this machine; ask for 127.0.0.1, or serve with --keys'
        )
    origin = connection.headers.get("origin")
    if origin is not None and method not in SAFE_METHODS and origin.partition("://")[2] != host:
        raise HTTPException(
            403, f'a page of "{origin[:80]}" may not write here; send it from your own server'
        )


def host_name(host: str) -> str:
    """Without the port; `[::1]:8000` is `::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


class Rates:
    """A token bucket per key."""

    def __init__(self, settings: ServeSettings) -> None:
        self.speed, self.burst = settings.requests_per_second, float(settings.burst)
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, name: str) -> None:
        """429 with Retry-After when the key sends more than it may."""
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
