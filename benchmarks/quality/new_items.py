"""Items put after training: how they rank, what putting them costs, what questions cost beside many of them.

python benchmarks/quality/new_items.py RUN --out results/serving/new-items-NAME.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import unimp
from unimp.answer import Query
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.personalizer import Personalizer
from unimp.runs.training_split import make_split
from unimp.runs.updates import NewItem, Stock
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask

CASES, MANY, AT_ONCE, QUESTIONS, BEST = 200, 10_000, 64, 16, 10


def twins(trained: Personalizer) -> dict[str, Any]:
    """What held-out users chose next, put once more: the places of both among the trained catalogue."""
    stock, dataset = Stock(trained), trained.run.dataset
    catalog, cases = dataset.catalog, make_split(dataset, trained.run.artifacts.recipe.train.split).test
    cases = cases.select(np.random.default_rng(0).permutation(len(cases))[:CASES])
    new = {}
    for row in np.unique(cases.target_rows).tolist():
        reference, pixels = catalog.picture_references[row], None
        if reference is not None and catalog.pictures is not None:
            pixels = stock.pixels(next(iter(catalog.pictures.read([reference])))[1], f"twin {row}")
        item = NewItem(f"twin {row}", catalog.item(row).attributes, pixels, reference is not None)
        new[row] = int(stock.put([item])[0])
    placed = np.array([new[row] for row in cases.target_rows.tolist()])
    facts: dict[str, Any] = {"cases": len(cases), "items": len(catalog)}
    scored = {"recommendation": stock.answerer.decoder(RecommendationTask).score(cases.histories)}
    task = next((task for task in trained.run.artifacts.tasks if task.name == "search"), None)
    if task is not None:
        asked = [Query("") if posed is None else posed.query for posed in task.queries(cases)]  # type: ignore[attr-defined]
        scored["search"] = stock.answerer.decoder(SearchTask).search(cases.histories, asked)
    for name, scores in scored.items():
        for label, rows in (("trained", cases.target_rows), ("twin", placed)):
            found = ranks(scores, rows, cases.histories, len(catalog))
            facts[f"{name}, {label}"] = {
                f"HR@{BEST}": round(float((found <= BEST).mean()), 4),
                "median rank": float(np.median(found)),
            }
    return facts


def ranks(scores: FloatArray, rows: IntArray, histories: Histories, num_items: int) -> IntArray:
    """[N] places of `rows` among the trained items that the user has not met."""
    scores = scores.copy()
    scores[histories.owners(), histories.item_rows] = -np.inf
    own = scores[np.arange(len(rows)), rows]
    return np.asarray(1 + (scores[:, :num_items] > own[:, None]).sum(axis=1))


def costs(trained: Personalizer) -> dict[str, Any]:
    """Processor time, in milliseconds."""
    stock, catalog, rng = Stock(trained), trained.run.dataset.catalog, np.random.default_rng(0)
    drawn = rng.integers(255, size=(*stock.artifacts.picture_size, 3), dtype=np.uint8)
    pixels = None if stock.artifacts.visual_width is None else drawn
    rows = rng.integers(len(catalog), size=MANY).tolist()
    items = [NewItem(f"new {n}", catalog.item(row).attributes, pixels) for n, row in enumerate(rows)]
    batches = [cost(lambda at=at: stock.put(items[at : at + AT_ONCE])) for at in range(0, MANY, AT_ONCE)]
    facts = {
        "put, per item": round(sum(batches) / MANY, 3),
        f"put, slowest {AT_ONCE}": round(max(batches), 1),
    }
    for label, one in (("none put", Stock(trained)), (f"{MANY:,} put", stock)):
        met = [rng.integers(len(one.catalog), size=10).tolist() for _ in range(QUESTIONS)]
        histories = Histories.from_lists(met)
        ranker = one.answerer.decoder(RecommendationTask)
        times = [cost(partial(ranker.score, histories)) for _ in range(6)][1:]
        facts[f"recommendation, each of {QUESTIONS}, {label}"] = round(float(np.mean(times)) / QUESTIONS, 2)
    return facts


def cost(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    trained = unimp.load(asked.run)
    document = json.dumps({"twins": twins(trained), "cpu_ms": costs(trained)}, indent=1)
    print(document)
    if asked.out is not None:
        asked.out.write_text(document + "\n")


if __name__ == "__main__":
    main()
