"""What a run's learned ranker gives and costs: test figures and answer times with it and without.

    unimp train --data DATA --out RUN
    python benchmarks/quality/second_stage.py RUN --out results/second-stage/NAME.json

The file holds every test user's rank under both, the 95 % bootstrap interval over users of the difference in
NDCG@5, milliseconds of single answers, and what counting the relations takes.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unimp.core.compute import peak_memory_mib, set_threads
from unimp.core.errors import ConfigError
from unimp.core.exits import one_line_errors
from unimp.data.histories import Histories
from unimp.evaluate.bench.environment import Environment
from unimp.inference.retrieval import ModelRanker
from unimp.metrics.ranking import metric_values, rank_cases, ranking_metrics
from unimp.personalizer import load
from unimp.runs.training_split import make_split
from unimp.tasks.recommendation.task import RecommendationTask

RESAMPLES, ANSWERS = 10_000, 200


def interval(differences: np.ndarray) -> list[float]:
    """95 % percentile bootstrap of the mean."""
    rng = np.random.default_rng(0)
    size = len(differences)
    means = [differences[rng.integers(size, size=size)].mean() for _ in range(RESAMPLES)]
    return [float(value) for value in np.percentile(means, [2.5, 97.5])]


def milliseconds(ranker: ModelRanker, histories: Histories) -> dict[str, float]:
    """Median and 95th percentile of single answers."""
    times = []
    for user in range(min(ANSWERS, len(histories))):
        started = time.perf_counter()
        ranker.best(histories.slice(user, user + 1), [10], [True])
        times.append(1e3 * (time.perf_counter() - started))
    return {"p50": float(np.median(times)), "p95": float(np.percentile(times, 95))}


def compare(folder: Path) -> dict[str, Any]:
    personalizer = load(folder)
    run = personalizer.run
    staged = personalizer.answerer.decoder(RecommendationTask)
    stage = run.artifacts.second_stage
    if stage is None:
        raise ConfigError(f"{folder}: this run has no learned ranker (fusion.kind)")
    recipe = run.artifacts.recipe
    cases = make_split(run.dataset, recipe.train.split, recipe.train.seed).test
    before, started = peak_memory_mib(), time.process_time()
    stage.prepare()
    prepared = {"processor_seconds": time.process_time() - started, "peak_mib": peak_memory_mib() - before}
    found: dict[str, Any] = {}
    worth = {}
    for name, ranker in (("mixed", replace(staged, second_stage=None)), ("learned", staged)):
        ranks = rank_cases(ranker, cases, exclude_history=run.exclude_history)
        worth[name] = metric_values(ranks, "NDCG", 5)
        found[name] = {
            "metrics": ranking_metrics(ranks),
            "milliseconds": milliseconds(ranker, cases.histories),
            "ranks": [None if np.isinf(rank) else float(rank) for rank in ranks],
        }
    gain = worth["learned"] - worth["mixed"]
    return {
        "what": f"the learned ranker of a run of recipe {recipe.name}, seed {recipe.train.seed}",
        "data": {"name": run.dataset.folder.name, "hash": run.dataset.data_hash},
        "fusion": run.result["fusion"],
        "relations": prepared,
        "NDCG@5 gained": {"mean": float(gain.mean()), "95 %": interval(gain)},
        **found,
        "environment": Environment.here().model_dump(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parsed = parser.parse_args()
    set_threads(1)
    found = compare(parsed.run)
    parsed.out.parent.mkdir(parents=True, exist_ok=True)
    parsed.out.write_text(json.dumps(found) + "\n")
    for name in ("mixed", "learned"):
        print(name, found[name]["metrics"], found[name]["milliseconds"])
    print("gained", found["NDCG@5 gained"], "relations", found["relations"])


if __name__ == "__main__":
    with one_line_errors():
        main()
