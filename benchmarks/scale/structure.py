"""EASE against its substitutes for large catalogues, where both run.

    python benchmarks/scale/structure.py --data hm=DIR --data beauty=DIR --out results/scale/structure.json

Each method alone, without a network: the best of a small grid on validation NDCG@10 is judged on the test
targets. History masked, full catalogue, leave-one-out; `--split last-n` has five test targets of each user.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from unimp.core.compute import peak_memory_mib
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.data.histories import Cases, FloatArray, Histories
from unimp.features.item_graph import (
    EASE_MAX_ITEMS,
    GRAM_ENTRIES,
    ItemGraph,
    co_occurrences,
    cosine_graph,
    drop_diagonal,
    ease_graph,
    keep_largest,
    slim_graph,
    user_item_matrix,
)
from unimp.features.neighbour_ridge import neighbour_ridge, regressors_for
from unimp.metrics.ranking import rank_cases, ranking_metrics
from unimp.runs.training_split import make_split

PENALTIES, SHRINKS, RECENCIES = (40.0, 250.0), (10.0, 30.0), (1.0, 0.8, 0.6)
NEIGHBOURS = 300
LARGE = EASE_MAX_ITEMS + 1
"""Where `slim` takes the place of EASE: with the fewest regressors that it has so near."""


@dataclass(frozen=True)
class Recent:
    """A graph's scores with a discount per step back."""

    graph: ItemGraph
    recency: float

    def score(self, histories: Histories) -> FloatArray:
        return self.graph.score(histories, self.recency)


def candidates(
    train: Histories, num_items: int, sizes: dict[str, tuple[int, int]]
) -> dict[str, dict[str, Callable[[], ItemGraph]]]:
    """Method -> settings -> its graph. `sizes`: further kinds of `slim`, see `sized_slim`."""
    kept = {"num_items": num_items, "neighbours": NEIGHBOURS}
    return {
        "ease": {f"l2={l2:g}": lambda l2=l2: ease_graph(train, l2=l2, **kept) for l2 in PENALTIES},
        "slim": {f"l2={l2:g}": lambda l2=l2: slim_graph(train, l2=l2, **kept) for l2 in PENALTIES},
        "cosine": {f"shrink={s:g}": lambda s=s: cosine_graph(train, shrink=s, **kept) for s in SHRINKS},
        **{
            name: {f"l2={l2:g}": partial(sized_slim, train, num_items, l2, *size) for l2 in PENALTIES}
            for name, size in sizes.items()
        },
    }


def sized_slim(train: Histories, num_items: int, l2: float, known: int, regressors: int) -> ItemGraph:
    """`slim_graph` where so many pairs of an item are known, and each has so many regressors."""
    users = user_item_matrix(train, num_items)
    counts = np.bincount(users.indices, minlength=num_items).astype(np.float32)
    parts = []
    for start, together in co_occurrences(users):
        drop_diagonal(together, start)
        parts.append(keep_largest(together, known))
    gram = sp.vstack(parts, format="csr")
    weights = neighbour_ridge(gram, counts, l2=l2, regressors=regressors)
    return ItemGraph(keep_largest(weights, NEIGHBOURS))


def ndcg(graph: ItemGraph, recency: float, cases: Cases) -> float:
    return ranking_metrics(rank_cases(Recent(graph, recency), cases), (10,))["NDCG@10"]


def judged(folder: str, users: int, kind: str, sizes: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """The methods on one data set; `users`: most validation cases of the choice."""
    dataset = Dataset.load(folder)
    split = make_split(dataset, kind, 0)
    chosen = np.sort(np.random.default_rng(0).permutation(len(split.valid))[:users])
    valid, found = split.valid.select(chosen), {}
    for method, settings in candidates(split.train, split.num_items, sizes).items():
        tries, best = [], None
        for setting, make in settings.items():
            started = time.process_time()
            graph = make()
            seconds = time.process_time() - started
            for recency in RECENCIES:
                value = ndcg(graph, recency, valid)
                tries.append({"setting": setting, "recency": recency, "valid": value, "seconds": seconds})
                if best is None or value > best[0]:
                    best = value, graph, tries[-1]
        assert best is not None
        found[method] = {"test NDCG@10": ndcg(best[1], best[2]["recency"], split.test), "chosen": best[2]}
        found[method]["tries"] = tries
        print(folder, method, found[method]["test NDCG@10"], best[2], flush=True)
    for method in found.values():
        method["against ease"] = method["test NDCG@10"] / found["ease"]["test NDCG@10"]
    return {"users": len(split.test), "items": split.num_items, "methods": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", action="append", required=True, help="NAME=FOLDER; repeatable")
    parser.add_argument("--users", type=int, default=6000)
    parser.add_argument("--slim", action="append", default=[], help="PAIRSxREGRESSORS; repeatable")
    parser.add_argument("--split", default="leave-one-out")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    named = dict(entry.split("=", 1) for entry in options.data)
    sizes = {f"slim, as with {LARGE:,} items": (GRAM_ENTRIES // LARGE, regressors_for(LARGE))}
    for text in options.slim:
        known, regressors = (int(part) for part in text.split("x"))
        sizes[f"slim, {known} pairs an item, {regressors} regressors"] = known, regressors
    report = {name: judged(folder, options.users, options.split, sizes) for name, folder in named.items()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {"split": options.split, "neighbours": NEIGHBOURS, "peak_memory_mib": peak_memory_mib()}
    options.out.write_text(json.dumps({"data": report, **facts}, indent=1) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
