"""A store of two million events: how long the server takes to start, and to show its first page."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from attacked import MIB, Facts, Server, in_both_states, resident

EVENTS, USERS, PAGES = 2_000_000, 100_000, 20


def fill(file: Path) -> None:
    """Straight into the tables that the server made."""
    connection = sqlite3.connect(file)
    events = (
        (f"e{n}", f"u{n % USERS}", f"P{n % 640:05}", 1_700_000_000 + n, None, "view") for n in range(EVENTS)
    )
    into = "INSERT INTO events (event_id, user_id, item_id, time, rating, kind) VALUES (?, ?, ?, ?, ?, ?)"
    connection.executemany(into, events)
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'changes'").fetchone():
        now = int(time.time())
        changes = ((0, "user", f"u{n % USERS}", now) for n in range(EVENTS))
        logged = 'INSERT INTO changes ("transaction", kind, subject, time) VALUES (?, ?, ?, ?)'
        connection.executemany(logged, changes)
    connection.commit()
    connection.close()


def seconds_of(call: Callable[[], Any], times: int) -> list[float]:
    found = []
    for _ in range(times):
        started = time.monotonic()
        call()
        found.append(time.monotonic() - started)
    return found


def measured(server: Server, start_seconds: float) -> Facts:
    def page() -> None:
        httpx.get(f"{server.url}/", headers={"Accept": "text/html"}, timeout=60).raise_for_status()

    page()
    p50, slowest = np.percentile(np.array(seconds_of(page, PAGES)), [50, 100]).round(3).tolist()
    held = round(resident(server.process.pid) / MIB)
    return {
        "start_s": round(start_seconds, 1),
        "resident_mib": held,
        "page_p50_s": p50,
        "page_slowest_s": slowest,
    }


def attack(run: Path, checkout: Path | None) -> Facts:
    facts: Facts = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        for name in ("empty", f"{EVENTS:,} events"):
            started = time.monotonic()
            server = Server.start(run, f"sqlite:///{file}", checkout=checkout)
            try:
                facts[name] = measured(server, time.monotonic() - started)
            finally:
                server.end()
            if name == "empty":
                fill(file)
    return facts


if __name__ == "__main__":
    in_both_states("a store of two million events", attack)
