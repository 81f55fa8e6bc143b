"""What the sizes cost: preparation, evaluation, batch answers and one answer, for data folders that grow.

    python benchmarks/scale/curves.py --data D10K --data D100K --runs RUNS --out results/scale/curves.json

Each folder is trained without a recipe for five steps into RUNS (which changes neither time nor memory of
what is measured), in a process of its own; then, in another one, USERS test users are evaluated, USERS lines
are answered as a batch, and one answer is timed by the length of its history. Processor seconds of one
thread; peak memory of each process. The folders are the shops of `make_shop.py`, imported. Shops of another
size that --out holds already stay in it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from unimp import load
from unimp.batch.answers import BatchAnswers
from unimp.batch.job import placed
from unimp.batch.lines import LINE, USER
from unimp.core.compute import peak_memory_mib, set_threads
from unimp.core.exits import one_line_errors
from unimp.core.files import read_json
from unimp.personalizer import Personalizer
from unimp.runs.training_split import make_split

USERS = 2000
LENGTHS = (3, 10, 30, 100, 300, 1000, 3000)
ANSWERS = 20
QUICK = ("train.max_steps=5", "train.valid_users=50", "train.threads=1")
MAIN = "import sys; from unimp.cli.main import main; sys.exit(main())"


def trained(data: Path, run: Path) -> dict[str, Any]:
    """What it takes to prepare a run and to train five steps."""
    settings = [part for setting in QUICK for part in ("--set", setting)]
    command = [sys.executable, "-c", MAIN, "train", "--data", str(data), "--out", str(run), *settings]
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after, result = os.times(), read_json(run / "result.json")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "processor seconds of the whole command": used,
        "preparation, seconds by the clock": result["seconds"]["preparation"],
        "peak_memory_mib": result["peak_memory_mib"],
    }


def evaluated(personalizer: Personalizer) -> dict[str, Any]:
    run = personalizer.run
    recipe = run.artifacts.recipe
    cases = make_split(run.dataset, recipe.train.split, recipe.train.seed).test
    cases = cases.select(np.arange(min(USERS, len(cases))))
    task = run.artifacts.tasks[0]
    started = time.process_time()
    task.score(run.answerer.decoders[task.name], cases, exclude_history=run.exclude_history, show=False)
    return {"seconds a user": (time.process_time() - started) / len(cases)}


def answered(personalizer: Personalizer) -> dict[str, Any]:
    users = personalizer.run.dataset.interactions.histories.user_ids[:USERS].tolist()
    lines = pl.DataFrame({LINE: range(1, len(users) + 1), USER: users}, schema_overrides={LINE: pl.UInt32})
    task = personalizer.answerer.task_named("recommendation")
    started = time.process_time()
    BatchAnswers(personalizer, task, {"k": 10}).answer(placed(lines))
    return {"seconds a line": (time.process_time() - started) / len(users)}


def by_history(personalizer: Personalizer) -> dict[str, float]:
    """Median processor milliseconds of one answer to a history of so many items."""
    items = personalizer.run.dataset.catalog.items["item_id"]
    found, rng = {}, np.random.default_rng(0)
    for length in LENGTHS:
        seconds = []
        for _ in range(ANSWERS):
            history = items.gather(rng.integers(len(items), size=length)).to_list()
            started = time.process_time()
            personalizer.recommend(history=history, k=10)
            seconds.append(time.process_time() - started)
        found[str(length)] = 1000 * float(np.median(seconds))
    return found


def measure(run: Path) -> dict[str, Any]:
    """Everything of an opened run."""
    set_threads(1)
    started = time.process_time()
    personalizer = load(run, device="cpu")
    report: dict[str, Any] = {
        "items": len(personalizer.run.dataset.catalog),
        "users": len(personalizer.run.dataset.interactions.histories),
        "events": len(personalizer.run.dataset.interactions),
        "opened": {"processor seconds": time.process_time() - started, "peak_memory_mib": peak_memory_mib()},
    }
    for name, work in {"evaluation": evaluated, "batch": answered}.items():
        report[name] = work(personalizer) | {"peak_memory_mib": peak_memory_mib()}
    return report | {"one answer by history length, ms": by_history(personalizer)}


def joined(shops: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """The shops, and those of other sizes that the file holds, by size."""
    known = json.loads(path.read_text())["shops"] if path.exists() else []
    sizes = {shop["items"] for shop in shops}
    return sorted([*shops, *(shop for shop in known if shop["items"] not in sizes)], key=lambda s: s["items"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--measure", type=Path, help="an opened run alone, to standard output")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(options.measure)))
        return
    shops = []
    for data in options.data:
        run = options.runs / data.name
        preparation = trained(data, run)
        command = [sys.executable, __file__, "--measure", str(run)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        shop = json.loads(done.stdout.splitlines()[-1])
        shops.append(shop | {"training": preparation, "load average": os.getloadavg()[0]})
        print(json.dumps(shops[-1]), flush=True)
    report = {"evaluated": USERS, "batch lines": USERS, "shops": joined(shops, options.out)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
