"""Two runs that differ in one setting, on the same test targets.

    python benchmarks/scale/quality.py --run full=RUN --run sampled=RUN --out results/scale/quality-NAME.json

For each run the test metrics of the model alone and with its mixture; the last run's share of the first's.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from unimp.core.compute import set_threads
from unimp.core.exits import one_line_errors
from unimp.inference.score_sources import FusionWeights
from unimp.runs.open_run import open_run
from unimp.runs.training_split import make_split


def judged(folder: str) -> dict[str, Any]:
    """Test metrics of one run, and what it was trained with."""
    run = open_run(folder)
    recipe, task = run.artifacts.recipe, run.artifacts.tasks[0]
    cases = make_split(run.dataset, recipe.train.split, recipe.train.seed).test
    decoder = run.answerer.decoders[task.name]
    found: dict[str, Any] = {}
    for name, ranker in (
        ("mixture", decoder),
        ("model alone", replace(decoder, fusion_weights=FusionWeights())),
    ):
        found[name] = task.score(ranker, cases, exclude_history=run.exclude_history).metrics
    return {
        "test": found,
        "users": len(cases),
        "items": len(run.dataset.catalog),
        "objective": recipe.objective.model_dump(mode="json"),
        "train": recipe.train.model_dump(mode="json"),
        "valid": run.result["valid"],
        "best_epoch": run.result["best_epoch"],
        "seconds": run.result["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="append", required=True, help="NAME=FOLDER; twice")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    set_threads(1)
    runs = {name: judged(folder) for name, folder in (entry.split("=", 1) for entry in options.run)}
    first, *_, last = runs.values()
    share = {
        kind: last["test"][kind]["NDCG@10"] / metrics["NDCG@10"] for kind, metrics in first["test"].items()
    }
    report = {"runs": runs, "share of test NDCG@10": share}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(share))


if __name__ == "__main__":
    with one_line_errors():
        main()
