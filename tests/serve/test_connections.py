"""What a socket may do before any route runs: the length of a head, silence, the number of connections."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.serve.conftest import running
from unimp.personalizer import Personalizer
from unimp.serve.connection_limits import ConnectionLimits
from unimp.serve.protocol import BoundedProtocol
from unimp.serve.service import Service
from unimp.serve.settings import ServeSettings

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def port(personalizer: Personalizer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("connections")
    hasty = {
        "head_bytes": 2000,
        "head_seconds": 0.2,
        "body_seconds": 0.2,
        "unread_seconds": 0.2,
        "idle_seconds": 1,
    }
    with running(personalizer, f"sqlite:///{folder / 'store.db'}", **hasty) as number:
        yield number


def said(port: int, *parts: bytes) -> tuple[int, str]:
    """Status and detail of the answer to these bytes, read until the server closes; 0 without an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    if not answer:
        return 0, ""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), str(json.loads(body).get("detail", ""))


def test_a_whole_head_is_answered(port: int) -> None:
    assert said(port, HEAD + b"Connection: close\r\n\r\n")[0] == 200


def test_an_offer_of_another_protocol_is_answered_with_this_one(port: int) -> None:
    """Java's HTTP client offers HTTP/2 with its first request, whose body must arrive all the same."""
    body = b'{"history": [], "k": 1}'
    head = HEAD.replace(b"GET /healthz", b"POST /v1/recommend") + b"Content-Type: application/json\r\n"
    head += b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("ended", [b"", b"\r\n"])
def test_a_long_head_is_refused(port: int, ended: bytes) -> None:
    status, detail = said(port, HEAD + b"A: b\r\n" * 1000 + ended)
    assert (status, "longer than 2,000 bytes" in detail) == (431, True)
    assert said(port, HEAD + b"A: " + b"b" * 5000 + ended)[0] == 431


def test_what_is_not_http_is_refused(port: int) -> None:
    status, detail = said(port, b"\x16\x03\x01 hello\r\n\r\n")
    assert (status, "not valid HTTP" in detail) == (400, True)


def test_connecting_through_is_refused(port: int) -> None:
    status, detail = said(port, b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert (status, detail.startswith("CONNECT is for proxies")) == (400, True)


def test_requests_may_follow_without_waiting_but_not_without_end(port: int) -> None:
    """They are answered in their order; far more than a client needs end the connection."""
    one = HEAD + b"\r\n"
    unknown = one.replace(b"/healthz", b"/unknown")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(one + unknown + HEAD + b"Connection: close\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(one * 1000)
        answer = all_that_comes(connection)
    assert answer.count(b"HTTP/1.1 ") < 100


@pytest.mark.parametrize(
    "headers",
    [b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 4\r\nContent-Length: 5\r\n"],
)
def test_a_body_of_two_lengths_is_refused(port: int, headers: bytes) -> None:
    """Or a proxy and the server would take different bytes for the next request."""
    head = HEAD.replace(b"GET /healthz", b"POST /v1/recommend")
    assert said(port, head + headers + b"\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n")[0] == 400


def test_silence_ends_the_connection(port: int) -> None:
    assert said(port) == (0, "")
    status, detail = said(port, HEAD)
    assert (status, "took more than 0.2 seconds" in detail) == (408, True)


def test_silence_after_an_answer_ends_the_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for _ in range(2):
            connection.sendall(HEAD + b"\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        while connection.recv(65_536):
            pass


def test_a_body_that_does_not_arrive_ends_the_connection(port: int) -> None:
    head = HEAD.replace(b"GET /healthz", b"POST /v1/recommend") + b"Content-Type: application/json\r\n"
    status, detail = said(port, head + b"Content-Length: 100\r\n\r\n{")
    assert (status, "body took more than" in detail) == (408, True)
    refused = head.replace(b"Host: 127.0.0.1", b"Host: elsewhere")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(refused + b"Content-Length: 100\r\n\r\n{")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 403")
        while connection.recv(65_536):  # ends: the server does not wait for the rest of the body
            pass


def test_an_answer_that_is_not_read_ends_the_connection(port: int) -> None:
    """Or whoever reads nothing keeps answers and connections for ever."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.settimeout(20)
        asked = HEAD.replace(b"/healthz", b"/openapi.json") + b"\r\n"
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            send_for_ever(connection, asked)


def send_for_ever(connection: socket.socket, data: bytes) -> None:
    while True:
        connection.sendall(data)
        time.sleep(0.001)


def test_what_connections_hold_is_shown_with_its_bound(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(HEAD)
        shown = metrics(port)
    bounds = dict(re.findall(rb'^unimp_held_bytes_bound{of="(heads|answers)"} (\S+)', shown, re.MULTILINE))
    assert float(bounds[b"answers"]) == 64 * 2**20
    assert float(bounds[b"heads"]) % (2 * 2000) == 0
    held = re.search(rb'^unimp_held_bytes{of="heads"} (\S+)', shown, re.MULTILINE)
    assert held
    assert float(held[1]) >= len(HEAD)


def test_the_slowest_readers_are_cut_when_all_leave_too_much_unread() -> None:
    limits = ConnectionLimits(ServeSettings(unread_bytes=100))
    cut: list[int] = []

    def reader(size: int) -> BoundedProtocol:
        transport = SimpleNamespace(get_write_buffer_size=lambda: size, abort=lambda: cut.append(size))
        loop = SimpleNamespace(call_soon=lambda call: call())
        return cast(BoundedProtocol, SimpleNamespaceKey(transport=transport, loop=loop))

    for size in (40, 50, 30, 45):
        limits.add_unread(reader(size))
    assert (cut, limits.bytes_unread()) == ([40, 50], 75)
    limits.add_unread(reader(200))
    assert (cut, limits.bytes_unread()) == ([40, 50, 30, 45, 200], 0)


class SimpleNamespaceKey(SimpleNamespace):
    """One that may be the key of a dictionary."""

    __hash__ = object.__hash__


def test_bodies_whose_turn_has_not_come_are_bounded(port: int) -> None:
    """Of requests that are sent without waiting for the answer before."""
    body = b'{"history": []}'
    head = HEAD.replace(b"GET /healthz", b"POST /v1/recommend") + b"Content-Type: application/json\r\n"
    small = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    large = head + b"Content-Length: 3000\r\n\r\n" + b" " * 3000
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(small + small.replace(b"Host", b"Connection: close\r\nHost"))
        assert all_that_comes(connection).count(b"HTTP/1.1 200") == 2
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(small + large)
        assert b"HTTP/1.1 4" not in all_that_comes(connection)


def test_connections_are_bounded() -> None:
    limits = ConnectionLimits(
        ServeSettings(connections=6, connections_per_address=2, trusted_proxies=frozenset({"10.0.0.1"}))
    )
    assert [limits.admit("10.9.9.9") is None for _ in range(3)] == [True, True, False]
    assert limits.admit("10.0.0.1") is limits.admit("10.0.0.1") is limits.admit("127.0.0.1") is None
    limits.release("10.9.9.9")
    assert limits.admit("10.9.9.9") is None
    assert limits.admit("10.0.0.1") is None
    assert "6 connections are open" in (limits.admit("10.0.0.2") or "")


@pytest.mark.parametrize(("missing", "times"), [(0, 1), (3, 1), (0, 2)])
def test_who_leaves_ends_the_work_for_them(
    personalizer: Personalizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    missing: int,
    times: int,
) -> None:
    """Before or after the body is whole, or with a second request sent: no mistake of the server's."""
    begun, ended = threading.Event(), threading.Event()

    async def never(*_: Any) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    monkeypatch.setattr(Service, "answer", never)
    body = b'{"history": []}'
    head = HEAD.replace(b"GET /healthz", b"POST /v1/recommend") + b"Content-Type: application/json\r\n"
    sent = head + b"Content-Length: %d\r\n\r\n" % len(body) + body[: len(body) - missing]
    with running(personalizer, f"sqlite:///{tmp_path / 'store.db'}") as port:
        log = logging.getLogger("uvicorn.error")
        log.addHandler(caplog.handler)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(sent * times)
            assert missing or begun.wait(20)
        assert missing or ended.wait(20)
        while not (statuses := counted_statuses(port)):
            time.sleep(0.01)
        log.removeHandler(caplog.handler)
    assert (statuses, begun.is_set(), caplog.messages) == ([b"499"], not missing, [])


def counted_statuses(port: int) -> list[bytes]:
    """Of the recommendations that the server has ended with."""
    counter = rb'^unimp_requests_total{method="POST",route="/v1/recommend",status="(\d+)"}'
    return re.findall(counter, metrics(port), re.MULTILINE)


def metrics(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(HEAD.replace(b"/healthz", b"/metrics") + b"Connection: close\r\n\r\n")
        return all_that_comes(connection)


def all_that_comes(connection: socket.socket) -> bytes:
    """Until the server closes."""
    answer = b""
    try:
        while chunk := connection.recv(65_536):
            answer += chunk
    except ConnectionResetError:
        pass
    return answer
