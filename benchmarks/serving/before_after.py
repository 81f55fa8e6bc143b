"""Requests per second of two checkouts' servers, measured in turns in one run.

python benchmarks/serving/before_after.py RUN --before CHECKOUT --before-run RUN --out FILE

Rounds alternate between the servers, so that what else the machine does meets both. The processor time that
a server spends per request hardly depends on what else runs; that of its event loop (HTTP, validation, the
answer's document) does not depend on the model, which may differ between the two runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from load_client import Tally, ask_each_once, request, run_clients
from served import Server

QUESTIONS: dict[str, dict[str, Any]] = {"recommend": {"k": 10}, "search": {"k": 10, "text": "blue bag"}}
CLIENTS = (1, 16, 64)


@contextmanager
def measured(run: Path, folder: str, checkout: Path | None) -> Iterator[Server]:
    """A server that has answered once."""
    name = "now" if checkout is None else "before"
    server = Server.start(run, f"sqlite:///{folder}/{name}.db", checkout=checkout)
    try:
        httpx.post(f"{server.url}/v1/recommend", json={"history": []}, timeout=60).raise_for_status()
        yield server
    finally:
        server.end()


def one_round(server: Server, asked: Sequence[bytes], clients: int, seconds: float) -> dict[str, float]:
    tally, before, loop_before = Tally(), server.cpu_seconds(), server.loop_seconds()
    asyncio.run(run_clients(server.port, asked, clients, seconds, tally))
    tally.cpu_seconds = server.cpu_seconds() - before
    in_loop = 1000 * (server.loop_seconds() - loop_before) / len(tally.latencies)
    return tally.facts() | {"loop_cpu_ms": round(in_loop, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--before", type=Path, required=True, help="Checkout of the former state.")
    parser.add_argument("--before-run", type=Path, help="The same run as the former state reads it.")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    users = [f"U{number:05}" for number in range(arguments.users)]
    cases = [(task, clients) for task in QUESTIONS for clients in CLIENTS]
    rounds: dict[str, dict[tuple[str, int], list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        before_run = arguments.before_run or arguments.run
        servers = {
            "before": stack.enter_context(measured(before_run, folder, arguments.before)),
            "now": stack.enter_context(measured(arguments.run, folder, None)),
        }
        for number in range(arguments.rounds):
            for case in cases:
                order = list(servers.items())
                for name, server in order if number % 2 else order[::-1]:
                    task, clients = case
                    asked = [request(server.port, task, {**QUESTIONS[task], "user": user}) for user in users]
                    if not number and clients == CLIENTS[0]:
                        asyncio.run(ask_each_once(server.port, asked))
                    found = one_round(server, asked, clients, arguments.seconds)
                    rounds.setdefault(name, {}).setdefault(case, []).append(found)
    document = {
        "measured": "requests per second, medians of the rounds",
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "machine": {"cores": os.cpu_count(), "load_average": os.getloadavg()},
        "cases": [row(case, rounds) for case in cases],
        "time": time.strftime("%Y-%m-%d"),
    }
    text = json.dumps(document, indent=1)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")


def row(case: tuple[str, int], rounds: dict[str, Any]) -> dict[str, Any]:
    """Both servers' medians, and the median of the ratios within a round."""
    facts: dict[str, Any] = {"task": case[0], "clients": case[1]}
    for name, by_case in rounds.items():
        for figure in ("per_second", "p50_ms", "p99_ms", "server_cpu_ms", "loop_cpu_ms"):
            values = [found[figure] for found in by_case[case]]
            facts.setdefault(name, {})[figure] = round(statistics.median(values), 3)
        facts[name]["errors"] = sum(found["errors"] for found in by_case[case])
    pairs = zip(rounds["now"][case], rounds["before"][case], strict=True)
    ratios = [now["per_second"] / before["per_second"] for now, before in pairs]
    return facts | {"ratio_per_second": round(statistics.median(ratios), 2), "ratios": rounded(ratios)}


def rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in values]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
