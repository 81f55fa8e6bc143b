"""The evaluation of many users of a large run: time, and memory before and at its peak.

    unimp train --data DIR --out RUN --set train.max_steps=5 --set train.valid_users=50 --set train.threads=1
    python benchmarks/scale/evaluation.py RUN --users 100000 --out results/scale/evaluation.json

Scores the run's recommendation, its mixture included, on test users as `unimp evaluate` does.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from unimp.core.compute import device_name, peak_memory_mib, set_threads
from unimp.core.exits import one_line_errors
from unimp.metrics.ranking import score_bytes, users_at_a_time
from unimp.runs.open_run import open_run
from unimp.runs.training_split import make_split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    set_threads(1)
    run = open_run(options.run)
    recipe = run.artifacts.recipe
    cases = make_split(run.dataset, recipe.train.split, recipe.train.seed).test
    cases = cases.select(np.arange(min(options.users, len(cases))))
    task, opened = run.artifacts.tasks[0], peak_memory_mib()
    decoder = run.answerer.decoders[task.name]
    started, wall = time.process_time(), time.perf_counter()
    score = task.score(decoder, cases, exclude_history=run.exclude_history, show=True)
    items = len(run.dataset.catalog)
    report = {
        "users": len(cases),
        "items": items,
        "score_mib": score_bytes() // 2**20,
        "users_at_a_time": users_at_a_time(items),
        "metrics": score.metrics,
        "seconds": {"processor": time.process_time() - started, "wall": time.perf_counter() - wall},
        "peak_memory_mib": {"run opened": opened, "evaluated": peak_memory_mib()},
        "device": device_name(run.answerer.state.table_ID.device),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    with one_line_errors():
        main()
