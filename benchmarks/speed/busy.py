"""What waiting threads cost a small network's training beside other busy processes.

    python benchmarks/speed/busy.py [--busy 0,1,2] [--threads 2] [--seconds 5] [--rounds 3] [--out FILE.json]

Steps a second of a network of the demo recipe's size on invented sentences, for each way to let OpenMP's
threads wait, beside so many processes that do nothing but count. Each figure is the median of rounds taken in
turns, each in a process of its own; the load average before a round says what else the machine did.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).resolve().parents[2] / "results" / "busy.json"
VARIANTS: dict[str, dict[str, str]] = {
    "as it comes": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "KMP_BLOCKTIME=0": {"KMP_BLOCKTIME": "0"},
}
"""The last is read by LLVM's and Intel's OpenMP, not by GNU's, which torch's wheels for Linux bring."""
SETTINGS = {name for variant in VARIANTS.values() for name in variant}
COUNTING = "while True: pass"
ITEMS, LENGTH = 600, 24
"""Items of the demo's shop; items of a sentence."""


@dataclass(frozen=True)
class Row:
    """One way to wait beside so many busy processes."""

    variant: str
    busy: int
    steps_per_second: float
    """Median of the rounds."""
    rounds: tuple[float, ...]
    load: tuple[float, ...]
    """Load average of the last minute before each round; it still holds some of the round before."""


def train_for(seconds: float, threads: int) -> float:
    """Steps a second of this process."""
    import torch  # before unimp, whose own setting must not decide
    from torch import nn

    from unimp.model.decoder import CompactDecoder
    from unimp.runs.recipe import load_recipe

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    recipe = load_recipe("demo")
    size = recipe.model
    decoder = CompactDecoder(size.width, size.layers, size.heads, size.hidden, size.dropout).train()
    table = nn.Embedding(ITEMS, size.width)
    optimizer = torch.optim.AdamW([*decoder.parameters(), *table.parameters()], lr=recipe.train.lr)
    sentences = torch.randint(ITEMS, (recipe.train.batch_positions // LENGTH, LENGTH + 1))

    def step() -> None:
        hidden = decoder(table(sentences[:, :-1]))
        loss = nn.functional.cross_entropy(
            (hidden @ table.weight.T).flatten(0, 1), sentences[:, 1:].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        step()
        steps += 1
    return steps / (time.perf_counter() - started)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    running = [subprocess.Popen([sys.executable, "-c", COUNTING]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def measured(variant: str, busy: int, options: argparse.Namespace) -> float:
    """Steps a second of a process that waits as `variant` says."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    size = ["--seconds", str(options.seconds), "--threads", str(options.threads)]
    with busy_processes(busy):
        found = subprocess.run(
            [sys.executable, __file__, "--alone", *size],
            env={**kept, **VARIANTS[variant], "OMP_NUM_THREADS": str(options.threads)},
            capture_output=True,
            text=True,
            check=True,
        )
    return float(found.stdout)


def measure(options: argparse.Namespace) -> Iterator[list[Row]]:
    """All rows, after each round."""
    cells = [(variant, busy) for busy in options.busy for variant in VARIANTS]
    speeds: dict[tuple[str, int], list[float]] = {cell: [] for cell in cells}
    loads: dict[tuple[str, int], list[float]] = {cell: [] for cell in cells}
    for turn in range(options.rounds):
        for cell in cells:
            loads[cell].append(round(os.getloadavg()[0], 2))
            speeds[cell].append(round(measured(*cell, options), 2))
            print(f"round {turn + 1}: {cell[1]} busy, {cell[0]}: {speeds[cell][-1]}", file=sys.stderr)
        yield [Row(*cell, median(speeds[cell]), tuple(speeds[cell]), tuple(loads[cell])) for cell in cells]


def show(rows: list[Row], options: argparse.Namespace) -> None:
    """Variants down, busy processes across."""
    speed = {(row.variant, row.busy): row.steps_per_second for row in rows}
    print(
        f"{'steps a second beside':<26}" + "".join(f"{busy:>8}" for busy in options.busy) + "  busy processes"
    )
    for variant in VARIANTS:
        print(f"{variant:<26}" + "".join(f"{speed[variant, busy]:>8.1f}" for busy in options.busy))
    loads = [load for row in rows for load in row.load]
    print(f"load average before the rounds: {min(loads)} to {max(loads)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--busy", type=lambda text: [int(part) for part in text.split(",")], default=[0, 1, 2]
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--alone", action="store_true", help="this process trains and prints its figure")
    options = parser.parse_args()
    if options.alone:
        print(train_for(options.seconds, options.threads))
        return
    from unimp.evaluate.bench.environment import Environment

    document: dict[str, Any] = {
        "command": " ".join(["python benchmarks/speed/busy.py", *sys.argv[1:]]),
        "threads": options.threads,
        "seconds": options.seconds,
        "cores": os.cpu_count(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "environment": Environment.here().model_dump(mode="json"),
    }
    for rows in measure(options):  # a round that was stopped costs none before it
        document["rows"] = [asdict(row) for row in rows]
        options.out.write_text(json.dumps(document, indent=1) + "\n")
    show(rows, options)


if __name__ == "__main__":
    main()
