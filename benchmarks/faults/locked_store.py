"""SQLite's file locked for 20 seconds by another process, under events; who needs no write goes on."""

from __future__ import annotations

import sqlite3
import threading
import time

from attacked import Facts, Server, counted, get, main, post, status_of

SECONDS = 20.0


def attack(server: Server) -> Facts:
    item = post(f"{server.url}/v1/recommend", {"history": [], "k": 1}).json()["items"][0]["item_id"]
    post(f"{server.url}/v1/recommend", {"user": "known"})
    lock = sqlite3.connect(server.store.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    until = time.monotonic() + SECONDS
    writes: list[str] = []

    def write(number: int) -> None:
        while time.monotonic() < until:
            event = {"event_id": f"{number} {len(writes)}", "user": f"u{number}", "item": item}
            writes.append(status_of(lambda: post(f"{server.url}/v1/events", event)))  # noqa: B023

    writers = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for writer in writers:
        writer.start()
    slowest: dict[str, float] = {}
    statuses: dict[str, list[str]] = {"known user": [], "new user": [], "readyz": []}
    asked = {"known user": {"user": "known"}, "new user": {"user": "new"}}
    while time.monotonic() < until:
        for name, found in statuses.items():
            started = time.monotonic()
            if name == "readyz":
                found.append(status_of(lambda: get(f"{server.url}/readyz")))
            else:
                document = asked[name]
                found.append(
                    status_of(lambda: post(f"{server.url}/v1/recommend", document))  # noqa: B023
                )
            slowest[name] = round(max(slowest.get(name, 0.0), time.monotonic() - started), 2)
    lock.execute("ROLLBACK")
    lock.close()
    for writer in writers:
        writer.join()
    answers = {name: counted(found) for name, found in statuses.items()}
    return {"answers": answers, "slowest_s": slowest, "writes": counted(writes)}


if __name__ == "__main__":
    main("the store locked by another process", attack, wait=False)
