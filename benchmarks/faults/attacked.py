"""A server under attack: its memory, and how long it takes to say that it lives."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

BENCHMARKS = Path(__file__).parents[1]
sys.path.append(str(BENCHMARKS / "serving"))
sys.path.append(str(BENCHMARKS.parent))

from served import Server  # noqa: E402

Facts = dict[str, Any]
RETURN_SECONDS = 60.0
"""After this memory must have been given back."""


@dataclass
class Watch:
    """Samples a server's resident memory and `/healthz` until it is stopped."""

    server: Server
    idle: int = 0
    peak: int = 0
    slowest: float = 0.0
    unanswered: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def resident(self) -> int:
        """Bytes."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return 1024 * int(re.findall(r"VmRSS:\s+(\d+)", status)[0])

    def run(self) -> None:
        while not self.stopped.wait(0.05):
            self.peak = max(self.peak, self.resident())
            started = time.monotonic()
            try:
                httpx.get(f"{self.server.url}/healthz", timeout=60)
            except httpx.TransportError:
                self.unanswered += 1
            self.slowest = max(self.slowest, time.monotonic() - started)

    def facts(self) -> Facts:
        mib = 2**20
        return {
            "idle_mib": round(self.idle / mib),
            "peak_above_idle_mib": round((self.peak - self.idle) / mib),
            "slowest_healthz_s": round(self.slowest, 2),
            "healthz_without_answer": self.unanswered,
        }


@contextmanager
def watched(server: Server) -> Iterator[Watch]:
    """The watch, running."""
    watch = Watch(server)
    watch.idle = watch.peak = watch.resident()
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.stopped.set()
        thread.join()


def in_threads(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """All at once; the results in order."""
    results: list[Any] = [None] * len(calls)

    def run(place: int) -> None:
        results[place] = calls[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def status_of(send: Callable[[], httpx.Response]) -> str:
    """The status, or that the connection was closed."""
    try:
        return str(send().status_code)
    except httpx.TransportError:
        return "closed"


def counted(statuses: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(statuses).items()))


def main(
    fault: str, attack: Callable[[Server], Facts], options: Sequence[str] = (), *, wait: bool = True
) -> None:
    """Attack a fresh server, and print what came of it."""
    parser = argparse.ArgumentParser(description=fault)
    parser.add_argument("run", type=Path)
    parser.add_argument("--checkout", type=Path, help="Run the server from this checkout's src.")
    arguments = parser.parse_args()
    if arguments.checkout is not None:
        os.environ["PYTHONPATH"] = str(arguments.checkout / "src")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        server = Server.start(arguments.run, f"sqlite:///{folder}/store.db", options=options)
        try:
            httpx.post(f"{server.url}/v1/recommend", json={"history": []}, timeout=60)
            with watched(server) as watch:
                facts = attack(server)
            facts |= watch.facts()
            if wait:
                time.sleep(RETURN_SECONDS)
                facts["after_a_minute_mib"] = round((watch.resident() - watch.idle) / 2**20)
        finally:
            server.end()
    print(json.dumps({"fault": fault, **facts}, indent=1))
