"""Batch answers of `--engine ray` on two nodes of one core against `--engine local` with the same cores.

    python benchmarks/scale/batch.py --run RUN --data DIR --lines 20000 --out results/scale/batch.json

Answers for every user of the data, each several times until there are `--lines`, in the same parts by both
engines. The local engine is one process with two threads. Start-up (opening the model; Ray's nodes and its
actors' models) is stated apart: rates count the lines between the moments when a half and nine tenths of
the parts were there, by the clock and by the processor (all processes, Ray's own included). `--kill`: a third
run loses a node after a third of the parts. All in one sitting; the load average says what else ran.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import ray
from ray.cluster_utils import Cluster

from unimp.batch.job import BatchJob, parts_by_user, placed
from unimp.batch.lines import LINE, USER
from unimp.core.compute import set_threads
from unimp.core.exits import one_line_errors
from unimp.scale.batch import answer_parts

STORE = 200 * 2**20
TICKS = os.sysconf("SC_CLK_TCK")


def parts_of(job: BatchJob, lines: int, parts: int) -> list[pl.DataFrame]:
    """Requests for `lines` users, round and round."""
    users = job.open().personalizer.run.dataset.interactions.histories.user_ids.tolist()
    named = pl.DataFrame(
        {LINE: range(1, lines + 1), USER: [users[place % len(users)] for place in range(lines)]},
        schema_overrides={LINE: pl.UInt32},
    )
    return parts_by_user(placed(named), parts)


def session_seconds() -> tuple[float, float]:
    """Processor seconds of this session's living processes, Ray's own among them: of all, and of those that
    answer alone."""
    total = answering = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[3]) == os.getsid(0):
            used = int(fields[11]) + int(fields[12])
            total += used
            answering += used if b"MapWorker" in command else 0
    return total / TICKS, (answering or total) / TICKS


def measured(job: BatchJob, parts: list[pl.DataFrame], work: Callable[[], Any]) -> dict[str, Any]:
    """Seconds until half of the parts are there, and the rates from then on until nearly all are."""
    there = [number for number, part in enumerate(parts) if part.height]
    marks: list[tuple[float, tuple[float, float], int]] = []

    def watch() -> None:
        for wanted in (len(there) // 2, len(there) * 9 // 10):
            while sum(job.target(number).exists() for number in there) < wanted:
                time.sleep(0.02)
            done = [number for number in there if job.target(number).exists()]
            marks.append((time.time(), session_seconds(), sum(parts[number].height for number in done)))

    started = time.time()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    work()
    watcher.join()
    (first, first_own, before), (last, last_own, after) = marks
    return {
        "seconds": time.time() - started,
        "half of the parts after": first - started,
        "lines a second": (after - before) / (last - first),
        "lines a processor second": (after - before) / (last_own[0] - first_own[0]),
        "lines a processor second of the workers": (after - before) / (last_own[1] - first_own[1]),
        "load average": os.getloadavg()[0],
    }


def local(job: BatchJob, parts: list[pl.DataFrame]) -> None:
    set_threads(2)
    work = job.open()
    for number in job.unfinished(parts):
        job.finish(work, number, parts[number])


def on_two_nodes(job: BatchJob, parts: list[pl.DataFrame], *, kill: bool) -> None:
    """`kill`: one of the nodes, when a third of the parts are there."""
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=head)
    workers = [found.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
    ray.init(found.address, log_to_driver=False)

    def watch() -> None:
        while len(list(job.out.glob("part-*.parquet"))) < len(parts) // 3:
            time.sleep(0.05)
        found.remove_node(workers[1])

    if kill:
        threading.Thread(target=watch, daemon=True).start()
    try:
        answer_parts(job, parts, None, show=False)
    finally:
        ray.shutdown()
        found.shutdown()


def bytes_of(job: BatchJob) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in job.out.glob("part-*.parquet")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--parts", type=int, default=60)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        job = BatchJob(
            options.run.resolve(), options.data, "cpu", "recommendation", {"k": 10}, Path(folder) / "local"
        )
        parts = parts_of(job, options.lines, options.parts)
        report: dict[str, Any] = {"lines": options.lines, "parts": options.parts, "cores": os.cpu_count()}
        report["local"] = measured(job, parts, lambda: local(job, parts))
        print(report["local"], flush=True)
        engines = {"ray": False} | ({"ray, a node killed": True} if options.kill else {})
        for name, kill in engines.items():
            own = replace(job, out=Path(folder) / f"ray-{kill}")
            report[name] = measured(
                own, parts, lambda own=own, kill=kill: on_two_nodes(own, parts, kill=kill)
            )
            report[name]["equal bytes"] = bytes_of(own) == bytes_of(job)
            print(name, report[name], flush=True)
    for rate in [name for name in report["local"] if name.startswith("lines a")]:
        report[f"{rate}, ray over local"] = report["ray"][rate] / report["local"][rate]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
