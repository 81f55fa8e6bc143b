"""Heads without an end: 100 MiB of short header lines, and one line of 200 MiB."""

from __future__ import annotations

import socket
import time

from attacked import Facts, Server, main

MOST_SECONDS = 45
"""A server that copies what it has with every piece of it takes an hour for the line."""
HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def sent(server: Server, block: bytes, mebibytes: int) -> Facts:
    """How much of it the server took, and what it said."""
    started, taken = time.monotonic(), 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        try:
            connection.sendall(HEAD)
            while taken < mebibytes * 2**20 and time.monotonic() - started < MOST_SECONDS:
                connection.sendall(block)
                taken += len(block)
        except OSError:
            pass
        try:
            answer = connection.recv(200)
        except OSError:
            answer = b""
    said = answer.split(b"\r\n")[0].decode() if answer else "closed"
    return {
        "mib_taken": round(taken / 2**20, 1),
        "answer": said,
        "seconds": round(time.monotonic() - started, 1),
    }


def attack(server: Server) -> Facts:
    return {
        "lines": sent(server, b"A: b\r\n" * 10_000, 100),
        "one_line": sent(server, b"b" * 65_536, 200),
    }


if __name__ == "__main__":
    main("heads without an end", attack)
