"""A training step of two processes (gloo) that train one model, each with batches of its own.

    python benchmarks/scale/step_processes.py --out results/scale/step-processes.json

Model, batches and catalogue are those of `step.py`; each figure is the median over the steps after the first
of every round, and the first row of each size is one process without a group. Processor seconds are one
process's, its gloo threads included. Clock seconds are those of the slower process; with other work on the
machine (see the load averages) they say little. Bytes are what a process gave to its sockets.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from step import Stepper, batch_of

from unimp.core.compute import device_name, peak_memory_mib, set_threads
from unimp.core.exits import one_line_errors
from unimp.runs.recipe import load_recipe
from unimp.train.distributed.processes import find_process_group

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """What is measured."""

    items: int
    softmax: str
    processes: int
    steps: int


def sent_bytes() -> int:
    """What this process has written into files and sockets."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def work(case: Case, out: Path) -> None:
    """One process's part; the leading one writes what all measured."""
    set_threads(1)
    group, _ = find_process_group(CPU)
    recipe, rng = load_recipe("small"), np.random.default_rng(1 + group.rank)
    measured: list[tuple[float, float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        sampled = case.softmax == "sampled"
        stepper = Stepper(
            recipe, case.items, sampled=sampled, device=CPU, folder=Path(folder), process_group=group
        )
        popularity = stepper.popularity.astype(np.float64)
        for step in range(case.steps + 1):
            batch = batch_of(rng, popularity, recipe.train.batch_positions)
            if group.size > 1:
                dist.barrier()
            sent, started = sent_bytes(), time.monotonic()
            seconds = stepper.take(batch, step)
            measured.append((seconds, time.monotonic() - started, sent_bytes() - sent))
    found: list[Any] = [(measured[1:], peak_memory_mib())]
    if group.size > 1:
        found = [None] * group.size
        dist.all_gather_object(found, (measured[1:], peak_memory_mib()))
    if group.is_main:
        out.write_text(json.dumps(found))


def launched(case: Case) -> list[Any]:
    """[processes] of (steps of (processor seconds, clock seconds, bytes sent), peak memory in MiB)."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable]
        if case.processes > 1:
            command += ["-m", "torch.distributed.run", "--standalone"]
            command += ["--nproc-per-node", str(case.processes)]
        command += [__file__, "--case", json.dumps(asdict(case)), "--out", str(out)]
        subprocess.run(command, check=True)
        return list(json.loads(out.read_text()))


def row_of(case: Case, rounds: list[list[Any]]) -> dict[str, Any]:
    """Medians over steps, rounds and processes; of the clock, of each step's slower process."""
    steps = [step for found in rounds for measured, _ in found for step in measured]
    slower = [
        max(step[1] for step in together)
        for found in rounds
        for together in zip(*(measured for measured, _ in found), strict=True)
    ]
    return {
        **asdict(case),
        "processor seconds": round(statistics.median(step[0] for step in steps), 4),
        "clock seconds": round(statistics.median(slower), 4),
        "MiB sent": round(statistics.median(step[2] for step in steps) / 2**20, 3),
        "peak_memory_mib": round(max(peak for found in rounds for _, peak in found)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--full-items", type=int, nargs="*", default=[100_000])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--full-steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2, help="Of the sampled softmax, sizes in turn.")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.case:
        work(Case(**json.loads(options.case)), options.out)
        return
    teams, loads = (1, options.processes), [os.getloadavg()]
    cases = [Case(items, "sampled", team, options.steps) for items in options.items for team in teams]
    rounds: dict[Case, list[list[Any]]] = {case: [] for case in cases}
    for _ in range(options.rounds):
        for case in cases:
            rounds[case].append(launched(case))
            loads.append(os.getloadavg())
    for items in options.full_items:
        case = Case(items, "full", options.processes, options.full_steps)
        rounds[case] = [launched(case)]
        loads.append(os.getloadavg())
    rows = [row_of(case, found) for case, found in rounds.items()]
    report = {
        "positions of a process": load_recipe("small").train.batch_positions,
        "steps": rows,
        "load averages": loads,
        "device": device_name(CPU),
        "torch": torch.__version__,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
