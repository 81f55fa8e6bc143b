"""A server under attack: its memory, and how long it takes to say that it lives."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

BENCHMARKS = Path(__file__).parents[1]
sys.path.append(str(BENCHMARKS / "serving"))
sys.path.append(str(BENCHMARKS.parent))

from served import Server  # noqa: E402

Facts = dict[str, Any]
MIB = 2**20
CHOSEN: dict[str, float] = {}
"""`seconds`, if the command line says how long the attack shall last."""
RETURN_SECONDS = 60.0
"""After this memory must have been given back."""


@dataclass
class Watch:
    """Another process samples a server's resident memory and `/healthz`: the attack keeps this one busy."""

    server: Server
    idle: int
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, server: Server) -> Watch:
        command = [sys.executable, __file__, str(server.process.pid), server.url]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stdout is not None
        process.stdout.readline()  # it watches from now on
        return cls(server, resident(server.process.pid), process)

    def end(self) -> Facts:
        """What was seen; memory is that above idle."""
        seen: Facts = json.loads(self.process.communicate()[0])
        peak = seen.pop("peak")
        above = round((max(peak, self.idle) - self.idle) / MIB)
        return {"idle_mib": round(self.idle / MIB), "peak_above_idle_mib": above, **seen}


def resident(process: int) -> int:
    """Bytes of memory that the process and its children hold."""
    family = [process]
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            family += map(int, children.read_text().split())
    held = 0
    for member in family:
        with suppress(OSError):
            found = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{member}/status").read_text())
            held += 1024 * int(found[0]) if found else 0
    return held


def get(url: str) -> httpx.Response:
    """A GET by a connection of its own; `verify`: or httpx loads certificates, 25 ms of processor time."""
    return httpx.get(url, timeout=60, verify=False)


def post(url: str, document: object, seconds: float = 60) -> httpx.Response:
    """A POST by a connection of its own, as `get`."""
    return httpx.post(url, json=document, timeout=seconds, verify=False)


def loop_seconds(process: int) -> tuple[float, float]:
    """Of the server's event loop: seconds that it ran, and that it was ready to run and had no core."""
    ran, waited, _ = Path(f"/proc/{process}/task/{process}/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


def watch(process: int, url: str) -> None:
    """Sample until the standard input ends; then print what was seen."""
    peak, times, late, unanswered, ended = 0, [0.0], 0.0, 0, threading.Event()
    began, before = time.monotonic(), loop_seconds(process)
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set())).start()
    print("watching", flush=True)
    asleep = time.monotonic()
    while not ended.wait(0.05):
        late = max(late, time.monotonic() - asleep - 0.05)
        peak = max(peak, resident(process))
        started = time.monotonic()
        try:
            get(f"{url}/healthz")
        except httpx.TransportError:
            unanswered += 1
        asleep = time.monotonic()
        times.append(asleep - started)
    times.sort()
    ran, waited = (after - former for after, former in zip(loop_seconds(process), before, strict=True))
    seen = {
        "peak": peak,
        "slowest_healthz_s": round(times[-1], 2),
        "healthz_p99_s": round(times[int(0.99 * (len(times) - 1))], 2),
        "healthz_asked": len(times) - 1,
        "healthz_without_answer": unanswered,
        "slowest_wakeup_s": round(late, 2),  # of the watching process: what the machine itself costs
        "watched_s": round(time.monotonic() - began, 1),
        "loop_ran_s": round(ran, 2),
        "loop_had_no_core_s": round(waited, 2),  # what other programs, and the rest of the attack, took
    }
    print(json.dumps(seen))


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


def attacked(
    attack: Callable[[Server], Facts], run: Path, options: Sequence[str], checkout: Path | None, wait: bool
) -> Facts:
    """Attack a fresh server; what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server.start(run, f"sqlite:///{folder}/store.db", options=options, checkout=checkout)
        try:
            post(f"{server.url}/v1/recommend", {"history": []})
            watching = Watch.start(server)
            time.sleep(1.0)
            try:
                facts = attack(server)
                time.sleep(1.0)
            finally:
                seen = watching.end()
            facts |= seen
            if wait:
                time.sleep(RETURN_SECONDS)
                facts["after_a_minute_mib"] = round((resident(server.process.pid) - watching.idle) / MIB)
        finally:
            server.end()
    return facts | {"load_average": round(os.getloadavg()[0], 1)}


def main(
    fault: str, attack: Callable[[Server], Facts], options: Sequence[str] = (), *, wait: bool = True
) -> None:
    """Attack a fresh server, and one of a former state if asked; print and write what came of it."""
    in_both_states(fault, lambda run, checkout: attacked(attack, run, options, checkout, wait))


def in_both_states(fault: str, measure: Callable[[Path, Path | None], Facts]) -> None:
    """Call `measure` with a run and the checkout of the server's code, of the former state first if asked."""
    parser = argparse.ArgumentParser(description=fault)
    parser.add_argument("run", type=Path)
    parser.add_argument("--before", type=Path, help="Checkout of a former state, which is attacked first.")
    parser.add_argument("--before-run", type=Path, help="The same run as the former state reads it.")
    parser.add_argument("--out", type=Path, help="File for the same document.")
    parser.add_argument("--seconds", type=float, help="How long, where the attack has no end of its own.")
    arguments = parser.parse_args()
    if arguments.seconds is not None:
        CHOSEN["seconds"] = arguments.seconds
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    document: Facts = {"fault": fault}
    if arguments.before is not None:
        before_run = arguments.before_run or arguments.run
        try:
            document["before"] = measure(before_run, arguments.before)
        except Exception as error:  # the attack went through: the server is gone, or does not answer
            document["before"] = {"server": f"did not survive: {type(error).__name__}"}
        write(document, arguments.out)
    document["now"] = measure(arguments.run, None)
    print(write(document, arguments.out))


def write(document: Facts, out: Path | None) -> str:
    """As JSON, into the file if there is one."""
    text = json.dumps(document, indent=1)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")
    return text


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2])
