"""ASGI middleware around every request: metrics, security headers, admission, the bound of its body."""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unimp.core.errors import UnimpError
from unimp.serve.errors import on_unimp_error, reply
from unimp.serve.limits import BodyLimits, BoundedBody, Rates, too_large
from unimp.serve.metrics import Metrics
from unimp.serve.security import Keys, check_origin
from unimp.serve.settings import ServeSettings
from unimp.serve.turns import Turns

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
SENT_HEADERS = Headers(HEADERS).raw
METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
"""That the metrics tell apart."""


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
                headers = list(message.get("headers", ()))
                given = {name.lower() for name, _ in headers}
                message["headers"] = headers + [pair for pair in SENT_HEADERS if pair[0] not in given]
            await send(message)

        try:
            await self.app(scope, receive, observed_send)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.metrics.observe_request(method, route, status, time.perf_counter() - started)


@dataclass
class Gate:
    """Checks host, origin, key and rate before the body is read, then bounds the body."""

    app: ASGIApp
    settings: ServeSettings
    keys: Keys
    rates: Rates
    bodies: BodyLimits
    turns: Turns
    brief_paths: frozenset[str]
    """Of the tasks that are answered by one pass of the model."""
    in_flight: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            limit = await self._let_in(connection)
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
        kind = connection.headers.get("content-type", "")
        body = BoundedBody(self.bodies, limit, receive, is_file=kind.lower().startswith("multipart/"))
        brief = scope["path"] in self.brief_paths
        self.in_flight += 1
        self.turns.expect(brief)
        try:
            await self.app(scope, body.receive, send)
        finally:
            self.turns.release(brief)
            body.release()
            self.in_flight -= 1

    async def _let_in(self, connection: HTTPConnection) -> int:
        """The largest body that the request may send."""
        scope = connection.scope
        check_origin(connection, scope["method"], keys=self.settings.keys)
        path: str = scope["path"]
        limit = self.bodies.limit(scope["method"], path)
        length = connection.headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:18]) > limit:
            raise too_large(limit)
        if not path.startswith(OPEN_PATHS):
            principal = await self.keys.principal(connection)
            self.rates.check(principal.name)
            scope.setdefault("state", {})["principal"] = principal
            if self.in_flight >= self.settings.in_flight:
                raise HTTPException(
                    503, "too many requests at once; try again in a moment", {"Retry-After": "1"}
                )
        return limit
