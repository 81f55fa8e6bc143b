"""Around every request: measured, headed, let in or refused, its body bounded. Plain ASGI, no copies."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unimp.core.errors import UnimpError
from unimp.serve.errors import on_unimp_error, reply
from unimp.serve.metrics import Metrics
from unimp.serve.security import Keys, Rates, check_origin, host_of
from unimp.serve.settings import ServeSettings

OPEN_PATHS = ("/healthz", "/readyz", "/static/", "/sign-in")
"""Answered without a key."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # not no-referrer: browsers then send `Origin: null` with a form, which is how other sites' forms look
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass
class Observed:
    """Counts and times every request, and puts the security headers on every answer."""

    app: ASGIApp
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, observed_send)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in {"GET", "POST", "PUT", "DELETE"} else "other"
            self.metrics.requests.labels(method, route, str(status)).inc()
            self.metrics.seconds.labels(method, route).observe(time.perf_counter() - started)


@dataclass
class Gate:
    """Host, origin, key and rate, before the body is read; then the body under its limits."""

    app: ASGIApp
    settings: ServeSettings
    keys: Keys
    rates: Rates
    in_flight: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            await self._let_in(connection)
        except HTTPException as error:
            if error.status_code == 401 and "text/html" in connection.headers.get("accept", ""):
                headers = {"Location": "/sign-in"}
                await send({"type": "http.response.start", "status": 303, "headers": Headers(headers).raw})
                await send({"type": "http.response.body", "body": b""})
                return
            response = reply(Request(scope), error.status_code, str(error.detail), error.headers)
            await response(scope, receive, send)
            return
        except UnimpError as error:
            await (await on_unimp_error(Request(scope), error))(scope, receive, send)
            return
        self.in_flight += 1
        try:
            await self.app(scope, self._bounded(receive), send)
        finally:
            self.in_flight -= 1

    async def _let_in(self, connection: HTTPConnection) -> None:
        scope = connection.scope
        check_origin(connection, scope["method"], keys=self.settings.keys)
        length = connection.headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:18]) > self.settings.body_bytes:
            raise self._too_large()
        path: str = scope["path"]
        if not path.startswith(OPEN_PATHS):
            principal = await self.keys.principal(connection)
            self.rates.check(principal.name)
            scope.setdefault("state", {})["principal"] = principal
            if self.in_flight >= self.settings.connections:
                raise HTTPException(
                    503, "too many requests at once; try again in a moment", {"Retry-After": "1"}
                )
        elif path == "/sign-in" and scope["method"] == "POST":
            self.rates.check(f"look-up from {host_of(connection)}")

    def _bounded(self, receive: Receive) -> Receive:
        """Counts what arrives, and waits only so long for it; afterwards it waits for the disconnect."""
        size, ended = 0, False
        deadline = time.monotonic() + self.settings.body_seconds

        async def bounded_receive() -> Message:
            nonlocal size, ended
            if ended:
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                seconds = self.settings.body_seconds
                raise HTTPException(
                    408, f"the body took more than {seconds:g} seconds to arrive; send less, or faster"
                ) from None
            size += len(message.get("body", b""))
            ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
            if size > self.settings.body_bytes:
                raise self._too_large()
            return message

        return bounded_receive

    def _too_large(self) -> HTTPException:
        limit = self.settings.body_bytes
        return HTTPException(
            413, f"the body is larger than {limit:,} bytes; send less at once", {"Connection": "close"}
        )
