"""Load a server on loopback: requests per second and latencies, with and without what it keeps in memory.

python benchmarks/serving/serving.py RUN --out results/serving/NAME.json

A server per mode; they are measured in turns, so that what else the machine does meets all alike. The
processor time that a server spends per request, unlike the rest, hardly depends on what else runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from load_client import Tally, ask_each_once, request, run_clients
from served import Server

from unimp.data.dataset import Dataset

QUESTIONS: dict[str, dict[str, Any]] = {"recommend": {"k": 10}, "search": {"k": 10, "text": "blue bag"}}
CLIENTS = (1, 16, 64)
UNCACHED = {"prefix_cache_bytes": 0, "history_cache_bytes": 0}
ONE_BY_ONE = {"batch": 1}
MODES: dict[str, tuple[dict[str, int], bool]] = {
    "nothing kept, one by one": (UNCACHED | ONE_BY_ONE, True),
    "nothing kept, batched": (UNCACHED, True),
    "item table kept, one by one": (UNCACHED | ONE_BY_ONE, False),
    "item table kept, batched": (UNCACHED, False),
    "users kept warm, one by one": (ONE_BY_ONE, False),
    "users kept warm, batched": ({}, False),
}
"""Name -> settings of the server, and whether it computes the item table anew for every call."""
WARM, COLD, TABLE = "users kept warm, batched", "nothing kept, one by one", "item table kept, one by one"
Case = tuple[str, int]
"""Task and number of clients."""


@dataclass
class Loaded:
    """One server, and what was measured of it."""

    server: Server
    first_answer_seconds: float
    """From the start of the process to the first recommendation."""
    tallies: dict[Case, Tally] = field(default_factory=dict)

    @classmethod
    def start(cls, run: Path, store: str, options: Sequence[str], user: str) -> Loaded:
        started = time.monotonic()
        server = Server.start(run, store, options=options, variant=True)
        httpx.post(f"{server.url}/v1/recommend", json={"user": user}).raise_for_status()
        return cls(server, round(time.monotonic() - started, 2))

    def measure(self, case: Case, requests: Sequence[bytes], seconds: float) -> None:
        tally = self.tallies.setdefault(case, Tally())
        before = self.server.cpu_seconds()
        asyncio.run(run_clients(self.server.port, requests, case[1], seconds, tally))
        tally.cpu_seconds += self.server.cpu_seconds() - before

    def requests(self, task: str, users: Sequence[str]) -> list[bytes]:
        return [request(self.server.port, task, {**QUESTIONS[task], "user": user}) for user in users]

    def facts(self) -> dict[str, Any]:
        return {
            "first_answer_seconds": self.first_answer_seconds,
            "peak_memory_mib": round(self.server.peak_bytes() / 2**20, 1),
            "load": [{"task": t, "clients": c, **tally.facts()} for (t, c), tally in self.tallies.items()],
        }


def run_load(run: Path, out: Path | None, seconds: float, rounds: int, most_users: int) -> None:
    """Every mode answers every case `rounds` times, for `seconds` each time."""
    facts = json.loads((run / "run.json").read_text())
    dataset = Dataset.load(facts["data"])
    users = [str(user) for user in dataset.interactions.histories.user_ids[:most_users]]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        loaded: dict[str, Loaded] = {}
        for number, (mode, (settings, rebuild)) in enumerate(MODES.items()):
            options = ["--settings", json.dumps(settings), *(["--rebuild-table"] if rebuild else [])]
            store = f"sqlite:///{folder}/{number}.db"
            loaded[mode] = Loaded.start(run, store, options, users[0])
            stack.callback(loaded[mode].server.end)
        for round_ in range(rounds):
            for task in QUESTIONS:
                for clients in CLIENTS:
                    for mode, one in loaded.items():
                        asked = one.requests(task, users)
                        if not round_ and mode.startswith("users"):
                            asyncio.run(ask_each_once(one.server.port, asked))
                        one.measure((task, clients), asked, seconds)
        measured = {mode: one.facts() for mode, one in loaded.items()}
    document = {
        "run": run.name,
        "recipe": facts["recipe"]["name"],
        "items": len(dataset.catalog),
        "users_asked": len(users),
        "events_per_user": round(float(dataset.interactions.histories.lengths[:most_users].mean()), 1),
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "load_average": os.getloadavg()},
        "modes": measured,
        "ratios": {"warm and batched over " + mode: ratios(measured, mode) for mode in (COLD, TABLE)},
    }
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=1) + "\n")
    show(document)


def ratios(measured: dict[str, Any], base: str) -> dict[str, dict[str, float]]:
    """Of requests per second, and of the server's processor time per request, by case."""
    found = {}
    for warm, cold in zip(measured[WARM]["load"], measured[base]["load"], strict=True):
        found[f"{warm['task']}, {warm['clients']} clients"] = {
            "per_second": round(warm["per_second"] / cold["per_second"], 1),
            "server_cpu": round(cold["server_cpu_ms"] / warm["server_cpu_ms"], 1),
        }
    return found


def show(document: dict[str, Any]) -> None:
    """A table for people."""
    print("| mode | task | clients | requests/s | p50 ms | p95 ms | p99 ms | server ms | errors |")
    print("|---|---|---|---|---|---|---|---|---|")
    columns = ("task", "clients", "per_second", "p50_ms", "p95_ms", "p99_ms", "server_cpu_ms", "errors")
    for mode, facts in document["modes"].items():
        for row in facts["load"]:
            print("|", " | ".join([mode, *(str(row[column]) for column in columns)]), "|")
    for mode, facts in document["modes"].items():
        started, peak = facts["first_answer_seconds"], facts["peak_memory_mib"]
        print(f"{mode}: first answer after {started} s, peak memory {peak} MiB")
    print(json.dumps(document["ratios"], indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--users", type=int, default=512)
    asked = parser.parse_args()
    run_load(asked.run, asked.out, asked.seconds, asked.rounds, asked.users)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
