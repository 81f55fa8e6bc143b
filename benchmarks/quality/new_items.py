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
from unimp.core.exits import one_line_errors
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.data.upserts import NewItem
from unimp.personalizer import Personalizer
from unimp.runs.training_split import make_split
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask

CASES, MANY, AT_ONCE, QUESTIONS, BEST = 200, 10_000, 64, 16, 10


def twins(trained: Personalizer) -> dict[str, Any]:
    """What held-out users chose next, put once more: the places of both among the trained catalogue."""
    grown, dataset = trained.upsert_items([]), trained.run.dataset
    catalog, cases = dataset.catalog, make_split(dataset, trained.run.artifacts.recipe.train.split).test
    cases = cases.select(np.random.default_rng(0).permutation(len(cases))[:CASES])
    new = {}
    for row in np.unique(cases.target_rows).tolist():
        reference, pixels = catalog.picture_references[row], None
        if reference is not None and catalog.pictures is not None:
            pixels = trained.item_pixels(next(iter(catalog.pictures.read([reference])))[1], f"twin {row}")
        item = NewItem(f"twin {row}", catalog.item(row).attributes, pixels, reference is not None)
        grown = grown.upsert_items([item], in_place=True)
        new[row] = grown.run.dataset.catalog.row_of[item.item_id]
    placed = np.array([new[row] for row in cases.target_rows.tolist()])
    facts: dict[str, Any] = {"cases": len(cases), "items": len(catalog)}
    scored = {"recommendation": grown.score(cases.histories)}
    task = grown.answerer.parts.find(SearchTask)
    if task is not None:
        queries = [Query("") if posed is None else posed.query for posed in task.queries(cases)]
        scored["search"] = grown.answerer.decoder(SearchTask).search(cases.histories, queries)
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
    catalog, artifacts, rng = trained.run.dataset.catalog, trained.run.artifacts, np.random.default_rng(0)
    drawn = rng.integers(255, size=(*artifacts.picture_size, 3), dtype=np.uint8)
    pixels = None if artifacts.visual_width is None else drawn
    rows = rng.integers(len(catalog), size=MANY).tolist()
    items = [NewItem(f"new {n}", catalog.item(row).attributes, pixels) for n, row in enumerate(rows)]
    facts, grown = {}, trained.upsert_items([])
    for name, in_place in (("put", True), ("put again, in place", True), ("put again", False)):
        times = []
        for start in range(0, MANY, AT_ONCE):
            times.append(process_ms())
            grown = grown.upsert_items(items[start : start + AT_ONCE], in_place=in_place)
            times[-1] = process_ms() - times[-1]
        facts |= {
            f"{name}, per item": round(sum(times) / MANY, 3),
            f"{name}, slowest {AT_ONCE}": round(max(times), 1),
        }
    for label, one in (("none put", trained.upsert_items([])), (f"{MANY:,} put", grown)):
        met = [rng.integers(len(one.run.dataset.catalog), size=10).tolist() for _ in range(QUESTIONS)]
        histories = Histories.from_lists(met)
        ranker = one.answerer.decoder(RecommendationTask)
        times = [cost(partial(ranker.score, histories)) for _ in range(6)][1:]
        facts[f"recommendation, each of {QUESTIONS}, {label}"] = round(float(np.mean(times)) / QUESTIONS, 2)
    return facts


def cost(work: Callable[[], object]) -> float:
    started = process_ms()
    work()
    return process_ms() - started


def process_ms() -> float:
    """Processor time of this process."""
    return 1000 * time.process_time()


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
    with one_line_errors():
        main()
