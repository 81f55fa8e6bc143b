"""Load and crash a server on loopback: requests per second and latencies, and events that survive kill -9.

python benchmarks/serving.py load http://127.0.0.1:8000 --seconds 5
python benchmarks/serving.py kill --store sqlite:///FILE --rounds 20 -- unimp serve RUN --port 8001 …
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence

import httpx
import numpy as np

from unimp.app.store import Store

QUESTIONS = {"recommend": {"k": 10}, "search": {"k": 10, "text": "blue bag"}}


async def load(url: str, clients: int, task: str, seconds: float, users: Sequence[str]) -> dict[str, object]:
    """Each client asks again as soon as it is answered, for another user each time."""
    latencies: list[float] = []
    errors = 0
    limits = httpx.Limits(max_connections=clients)

    async def client(number: int, session: httpx.AsyncClient, until: float) -> None:
        nonlocal errors
        asked = number
        while time.monotonic() < until:
            asked += clients
            started = time.perf_counter()
            document = {**QUESTIONS[task], "user": users[asked % len(users)]}
            response = await session.post(f"/v1/{task}", json=document)
            latencies.append(time.perf_counter() - started)
            errors += response.status_code != 200

    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as session:
        started = time.monotonic()
        until = started + seconds
        await asyncio.gather(*(client(number, session, until) for number in range(clients)))
        spent = time.monotonic() - started
    p50, p95, p99 = np.percentile(np.array(latencies) * 1000, [50, 95, 99]).round(1).tolist()
    facts = {
        "task": task,
        "clients": clients,
        "errors": errors,
        "per_second": round(len(latencies) / spent, 1),
    }
    return facts | {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


def run_load(url: str, seconds: float, users: Sequence[str]) -> None:
    for task in QUESTIONS:
        for clients in (1, 16, 64):
            print(json.dumps(asyncio.run(load(url, clients, task, seconds, users))), flush=True)


def write_until_killed(url: str, item: str, server: subprocess.Popen[bytes], seconds: float) -> list[str]:
    """Send about 50 events a second, kill the server in the middle of one; the ids it acknowledged."""
    acknowledged: list[str] = []
    until = time.monotonic() + seconds
    killed = False
    with httpx.Client(base_url=url, timeout=5) as client:
        while True:
            event = {"event_id": uuid.uuid4().hex, "user": "killed", "item": item}
            if time.monotonic() > until and not killed:
                server.send_signal(signal.SIGKILL)
                killed = True
            try:
                if client.post("/v1/events", json=event).status_code == 200:
                    acknowledged.append(event["event_id"])
            except httpx.TransportError:
                if killed:
                    return acknowledged
                raise
            time.sleep(0.02)


def run_kill(store_url: str, rounds: int, command: list[str], url: str, item: str) -> None:
    """After each kill every acknowledged event must be in the store."""
    acknowledged: set[str] = set()
    for round_ in range(rounds):
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_until_ready(url)
        acknowledged |= set(write_until_killed(url, item, server, 0.5))
        server.wait()
        store = Store.open(store_url)
        there = {event.event_id for event in store.user_log("killed").events}
        store.close()
        lost = acknowledged - there
        print(json.dumps({"round": round_, "acknowledged": len(acknowledged), "lost": len(lost)}), flush=True)
        assert not lost


def wait_until_ready(url: str, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(f"{url}: not ready within {seconds:g} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    loading = commands.add_parser("load")
    loading.add_argument("url")
    loading.add_argument("--seconds", type=float, default=5)
    loading.add_argument("--users", default=",".join(f"U{user:05}" for user in range(1000)))
    killing = commands.add_parser("kill")
    killing.add_argument("--store", required=True)
    killing.add_argument("--url", default="http://127.0.0.1:8001")
    killing.add_argument("--item", default="P00003")
    killing.add_argument("--rounds", type=int, default=20)
    killing.add_argument("server", nargs="+")
    asked = parser.parse_args()
    if asked.command == "load":
        run_load(asked.url, asked.seconds, asked.users.split(","))
    else:
        run_kill(asked.store, asked.rounds, asked.server, asked.url, asked.item)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
