"""Two servers on one store, their clocks 240 s apart: what one of them is sent, the other must know soon.

Streams of random events, forgets, upserts and removals, each with users and items of its own, write through
either server; after every write the stream asks the other server until that answers as a model of the store
says. At the end both must give equal answers to everything. `--store postgresql` starts Debian's PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from attacked import Facts, Server, loop_seconds
from tests.postgresql import postgresql_programs, running_postgresql

SEEN_SECONDS, GIVEN_UP_SECONDS = 2.0, 30.0
CLOCKS = (-120.0, 120.0)
FIRST_LOOK, PAUSE = 0.9, 0.1
"""Seconds until the other server is asked first, and between two questions."""
KINDS = {"event": 82, "forget": 6, "upsert": 8, "remove": 4}


@dataclass
class Found:
    """What came of all streams."""

    writes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """From a write's answer until the other server answered as it must."""
    unknown: list[float] = field(default_factory=list)
    """From a write's answer until a question was sent that was still answered without it; 0 for none."""
    wrong: list[str] = field(default_factory=list)


@dataclass
class Stream:
    """One after the other; `history` and `items` are what the store must hold."""

    number: int
    clients: list[httpx.AsyncClient]
    known: list[str]
    found: Found
    chance: random.Random
    history: dict[str, list[str]] = field(default_factory=dict)
    items: dict[str, bool] = field(default_factory=dict)
    """Item -> whether it may be answered with."""
    sent: int = 0

    async def write(self) -> None:
        kind = self.chance.choices(list(KINDS), list(KINDS.values()))[0]
        user, item = f"{self.number}-{self.chance.randrange(2)}", f"item-{self.number}-{self.sent % 2}"
        writer, reader = self.chance.sample(self.clients, 2)
        if kind == "event":
            met = self.chance.choice(self.known)
            event = {"event_id": f"{self.number}:{self.sent}", "user": user, "item": met}
            answer = await self.sent_until_taken("POST", writer, "/v1/events", event)
            self.history.setdefault(user, []).append(met)
        elif kind == "forget":
            answer = await self.sent_until_taken("DELETE", writer, f"/v1/users/{user}/history")
            self.history[user] = []
        elif kind == "upsert" or not self.items.get(item):
            category = self.chance.choice(["mug", "bag", "lamp"])
            content = {"attributes": {"category": category}}
            answer = await self.sent_until_taken("PUT", writer, f"/v1/items/{item}", content)
            kind, self.items[item] = "upsert", True
        else:
            answer = await self.sent_until_taken("DELETE", writer, f"/v1/items/{item}")
            self.items[item] = False
        self.sent += 1
        self.found.writes[f"{kind} {answer.status_code}"] += 1
        await self.seen(
            reader, f"{kind} of {user}, {item}", user, item if kind in {"upsert", "remove"} else None
        )

    async def sent_until_taken(
        self, method: str, writer: httpx.AsyncClient, path: str, document: Facts | None = None
    ) -> httpx.Response:
        """The answer; what got 503 is sent again, as a client should."""
        while (answer := await writer.request(method, path, json=document)).status_code == 503:
            self.found.writes[f"{method} again after 503"] += 1
            await asyncio.sleep(0.5)
        return answer

    async def seen(self, reader: httpx.AsyncClient, what: str, user: str, item: str | None) -> None:
        """Ask until the answer is right."""
        started, unknown = time.monotonic(), 0.0
        await asyncio.sleep(FIRST_LOOK)
        while True:
            looked = time.monotonic() - started
            if await (self.knows_user(reader, user) if item is None else self.knows_item(reader, item)):
                break
            unknown = looked
            if looked > GIVEN_UP_SECONDS:
                self.found.wrong.append(what)
                return
            await asyncio.sleep(PAUSE)
        self.found.seconds.append(time.monotonic() - started)
        self.found.unknown.append(unknown)

    async def knows_user(self, client: httpx.AsyncClient, user: str) -> bool:
        answer = await client.post("/v1/recommend", json={"user": user, "k": 1})
        return bool(answer.json()["history"] == self.history.get(user, []))

    async def knows_item(self, client: httpx.AsyncClient, item: str) -> bool:
        answer = await client.post("/v1/rate", json={"history": [], "item": item})
        return (answer.status_code == 200) == self.items.get(item, False)

    async def differences(self) -> list[str]:
        """What the two answer differently at the end."""
        wrong = []
        for user in self.history:
            asked = {"user": user, "k": 20}
            first, second = [
                (await client.post("/v1/recommend", json=asked)).json() for client in self.clients
            ]
            if first["history"] != second["history"] or first["history"] != self.history[user]:
                wrong.append(f"user {user}: history")
            elif (place := first_difference(first["items"], second["items"])) is not None:
                wrong.append(f"user {user}: {place}")
        for item in self.items:
            views = [await client.get(f"/v1/items/{item}") for client in self.clients]
            if views[0].text != views[1].text or (views[0].status_code == 200) != self.items[item]:
                wrong.append(f"item {item}")
        return wrong


def first_difference(first: list[Facts], second: list[Facts]) -> str | None:
    """Where two answers part, with the scores of both there; None where they name the same items in order."""
    for place, (ours, other) in enumerate(zip(first, second, strict=True)):
        if ours["item_id"] != other["item_id"]:
            here, there = (f"{item['item_id']} {item['score']!r}" for item in (ours, other))
            return f"place {place}, {here} and {there}"
    return None


async def run(urls: list[str], writes: int, streams: int, seed: int, minutes: float) -> Facts:
    limits = httpx.Limits(max_connections=streams, keepalive_expiry=2)
    clients = [httpx.AsyncClient(base_url=url, timeout=60, limits=limits) for url in urls]
    answer = await clients[0].post("/v1/recommend", json={"history": [], "k": 60})
    known = [item["item_id"] for item in answer.json()["items"]]
    found = Found()
    made = [Stream(n, clients, known, found, random.Random(f"{seed}-{n}")) for n in range(streams)]

    until = time.monotonic() + 60 * minutes
    lags: list[float] = []

    async def work(stream: Stream) -> None:
        while sum(found.writes.values()) < writes and time.monotonic() < until:
            await stream.write()

    async def watch_own_loop() -> None:
        while True:
            slept = time.monotonic()
            await asyncio.sleep(0.05)
            lags.append(time.monotonic() - slept - 0.05)

    watching = asyncio.create_task(watch_own_loop())
    await asyncio.gather(*(work(stream) for stream in made))
    watching.cancel()
    await asyncio.sleep(SEEN_SECONDS)
    different = [what for stream in made for what in await stream.differences()]
    ages = [sync_ages((await client.get("/metrics")).text) for client in clients]
    for client in clients:
        await client.aclose()
    late = sum(seconds > SEEN_SECONDS for seconds in found.seconds)
    p50, p99 = np.percentile(np.array(found.seconds), [50, 99]).round(2).tolist()
    return {
        "writes": dict(sorted(found.writes.items())),
        "never_seen": found.wrong,
        "seen_after_s": {"p50": p50, "p99": p99, "slowest": round(max(found.seconds), 2)},
        "seen_later_than_2_s": late,
        "of_these_unknown_after_2_s": sum(seconds > SEEN_SECONDS for seconds in found.unknown),
        "reads_of_changes": ages,
        "measuring_side_late_s": {
            "p99": round(float(np.percentile(lags, 99)), 2),
            "slowest": round(max(lags), 2),
        },
        "different_at_the_end": different,
    }


def sync_ages(metrics: str) -> Facts:
    """How old at most what another server wrote was when it was taken over, of all reads of the changes."""
    rows = re.findall(r'unimp_sync_age_seconds_bucket{le="([^"]+)"} ([0-9.]+)', metrics)
    counts = {limit: int(float(count)) for limit, count in rows}
    total = counts["+Inf"]
    return {"reads": total, **{f"older_than_{limit}_s": total - counts[limit] for limit in ("1.0", "2.0")}}


@contextmanager
def store(kind: str) -> Iterator[str]:
    """The URL of an empty one."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/store.db"
        return
    programs = postgresql_programs()
    if programs is None:
        raise SystemExit("needs PostgreSQL's initdb and pg_ctl (Debian: apt-get install postgresql)")
    with running_postgresql(programs) as database:
        yield database.url


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--store", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--writes", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=60, help="Stop writing after so long.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with store(arguments.store) as url, ExitStack() as stack:
        servers = []
        for clock in CLOCKS:
            servers.append(Server.start(arguments.run, url, clock=clock))
            stack.callback(servers[-1].end)
        urls = [server.url for server in servers]
        facts = asyncio.run(run(urls, arguments.writes, arguments.streams, arguments.seed, arguments.minutes))
        waits = [round(loop_seconds(server.process.pid)[1], 1) for server in servers]
        facts["servers_loops_had_no_core_s"] = waits
    document: dict[str, Any] = {
        "fault": "two servers, one store",
        "store": arguments.store,
        "clocks_s": CLOCKS,
    }
    text = json.dumps(document | facts | {"load_average": round(os.getloadavg()[0], 1)}, indent=1)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
