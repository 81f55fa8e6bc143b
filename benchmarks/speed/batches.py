"""How full a recipe's batches are, and what laying them out in the background is worth.

    batches.py --data DIR [--recipe small] [--set key=value]… [--steps 0] [--threads 1]

Padding depends on the lengths of sentences alone, so pictures are left out unless steps are timed. With
`--steps`, so many of an epoch are trained twice, laid out in line and ahead, in turns, and timed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from unimp.core.compute import set_threads
from unimp.core.config import merge
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.runs.recipe import Recipe, load_recipe
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.train.batches import Planned, TrainingSentences
from unimp.train.prefetch import prefetch
from unimp.train.preparation import build_artifacts
from unimp.train.trainer import Training

ROUNDS = 5


def padding(plan: list[Planned]) -> dict[str, dict[str, float]]:
    """Per task and over all: batches, positions laid out, and the share of them that is padding."""
    found: dict[str, dict[str, float]] = {}
    for name in ["all", *dict.fromkeys(planned.task.name for planned in plan)]:
        lengths = [[len(one) for one in p.sentences] for p in plan if name in {"all", p.task.name}]
        places = sum(len(batch) * max(batch) for batch in lengths)
        found[name] = {
            "batches": len(lengths),
            "positions": places,
            "padding": round(1 - sum(map(sum, lengths)) / max(places, 1), 4),
        }
    return found


def timed(training: Training, steps: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of the same steps, laid out in line and ahead: on the clock, and of all threads' work."""
    plan = training.sentences.plan(0)
    found: dict[str, dict[str, list[float]]] = {
        name: {"clock": [], "work": []} for name in ("in line", "ahead")
    }
    for turn in range(2 * ROUNDS + 1):
        name = ("in line", "ahead")[turn % 2]
        turns = itertools.islice(training._step_batches(plan), steps)
        clock, work = time.perf_counter(), time.process_time()
        for one in (prefetch if name == "ahead" else map)(training._step_batch, turns):
            training._step(one)
        if turn:  # the first round warms up
            found[name]["clock"].append(round(time.perf_counter() - clock, 3))
            found[name]["work"].append(round(time.process_time() - work, 3))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, options.settings)
    if not options.steps:
        blind = {"vision": {"enabled": False}, "structure": {"kind": "none"}}
        recipe = Recipe.parse(merge(recipe.model_dump(mode="json"), blind), options.recipe)
    set_threads(options.threads)
    dataset = Dataset.load(options.data)
    training_split = TrainingSplit.of(dataset, make_split(dataset, recipe.train.split, recipe.train.seed))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    artifacts = build_artifacts(training_split, recipe, device=device)
    report: dict[str, Any] = {"recipe": options.recipe, "data": str(options.data)}
    report["padding"] = padding(TrainingSentences(artifacts, training_split.train).plan(0))
    if options.steps:
        with TemporaryDirectory() as folder:
            training = Training(Path(folder), artifacts, training_split, device, show=False)
            report["seconds"] = timed(training, options.steps)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    with one_line_errors():
        main()
