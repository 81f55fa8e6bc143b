"""The item-item graphs of a data folder, or its whole preparation: processor seconds and peak memory.

    python benchmarks/scale/graphs.py --data DIR --part log --out results/scale/graph-log.json
    python benchmarks/scale/graphs.py --data DIR --part content --out results/scale/graph-content.json
    python benchmarks/scale/graphs.py --data DIR --part whole --out results/scale/preparation.json

`content` also compares a sample of items with all others, to see which of their neighbours were found;
`whole` is all that `unimp train` does without a recipe before the first step.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unimp.core.compute import peak_memory_mib, set_threads
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.features.item_graph import GraphConfig, content_graph, slim_graph
from unimp.features.text import fit_text
from unimp.runs.choosing import DataFacts, chosen_recipe
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.train.preparation import build_artifacts, masks_history

SAMPLE = 500


class Laps:
    """Processor seconds of one step after another, and the memory at its end."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, float]] = {}
        self.started = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.steps[name] = {"seconds": round(now - self.started, 2), "peak_memory_mib": peak_memory_mib()}
        print(name, self.steps[name], flush=True)
        self.started = time.process_time()


def found_share(content_IF: np.ndarray, graph: Any, config: GraphConfig) -> float:
    """Of the true nearest neighbours of SAMPLE items, the share that the graph has."""
    rows = np.random.default_rng(0).choice(len(content_IF), size=SAMPLE, replace=False)
    close = content_IF[rows] @ content_IF.T - np.float32(config.content_threshold)
    close[np.arange(SAMPLE), rows] = 0.0
    found = wanted = 0
    for place, row in enumerate(rows.tolist()):
        best = np.argsort(-close[place], kind="stable")[: config.content_neighbours]
        best = best[close[place, best] > 0]
        have = graph.indices[graph.indptr[row] : graph.indptr[row + 1]]
        found, wanted = found + int(np.isin(best, have).sum()), wanted + len(best)
    return found / max(wanted, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--part", choices=["log", "content", "whole"], required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    set_threads(1)
    laps, config, began = Laps(), GraphConfig(l2=50.0), time.monotonic()
    dataset = Dataset.load(options.data)
    laps.lap("data folder read")
    report: dict[str, Any] = {"items": len(dataset.catalog), "events": len(dataset.interactions)}
    if options.part == "whole":
        device = torch.device("cpu")
        recipe = chosen_recipe(DataFacts.of(dataset, device))
        split = make_split(dataset, recipe.train.split, recipe.train.seed)
        masked = masks_history(recipe, split.valid)
        laps.lap("recipe and split")
        training_split = TrainingSplit.of(dataset, split, exclude_history=masked)
        artifacts = build_artifacts(training_split, recipe, device=device)
        laps.lap("texts, vocabulary, graphs")
        report |= {name: {"entries": int(graph.weights.nnz)} for name, graph in artifacts.graphs.items()}
        report["seconds"] = round(sum(step["seconds"] for step in laps.steps.values()), 1)
        report["wall_seconds"] = round(time.monotonic() - began, 1)
        report["load_average"] = round(os.getloadavg()[0], 1)
    elif options.part == "log":
        split = make_split(dataset, "leave-one-out", 0)
        laps.lap("split")
        graph = slim_graph(split.train, split.num_items, l2=config.l2, neighbours=config.neighbours)
        laps.lap("slim")
        report["entries"] = int(graph.weights.nnz)
    else:
        projector = fit_text(dataset.catalog, 128)
        assert projector is not None
        content = projector.project(dataset.catalog)
        laps.lap("texts")
        graph = content_graph(
            content, neighbours=config.content_neighbours, threshold=config.content_threshold
        )
        laps.lap("content graph")
        report |= {"entries": int(graph.weights.nnz), "found": found_share(content, graph.weights, config)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report | {"steps": laps.steps}, indent=1) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
