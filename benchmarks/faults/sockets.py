"""1,500 silent connections, and others that send one byte of a header every second."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import httpx
from attacked import Facts, Server, main, status_of

SILENT, DRIPPING, SECONDS = 1500, 100, 25


def attack(server: Server) -> Facts:
    def connect() -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", server.port), timeout=5)
        except OSError:
            return None

    connections = [connection for _ in range(SILENT + DRIPPING) if (connection := connect())]
    dripping = connections[-DRIPPING:]
    asked = status_of(lambda: httpx.post(f"{server.url}/v1/recommend", json={"history": []}, timeout=30))
    started = time.monotonic()
    while time.monotonic() - started < SECONDS:
        for connection in dripping:
            with suppress(OSError):
                connection.sendall(b"G" if time.monotonic() - started < 1 else b"E")
        time.sleep(1)
    closed = 0
    for connection in connections:
        connection.setblocking(False)
        try:
            while connection.recv(4096):
                pass
            closed += 1
        except BlockingIOError:
            pass
        except OSError:
            closed += 1
        connection.close()
    return {
        "connected": len(connections),
        "a_recommendation_meanwhile": asked,
        "closed_by_the_server": closed,
    }


if __name__ == "__main__":
    main("silent and dripping connections", attack)
