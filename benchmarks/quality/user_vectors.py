"""Trained user vectors against folded-in ones, for methods that learn a vector per user.

python benchmarks/quality/user_vectors.py DATA --methods mf,lightgcn --out results/user-vectors/NAME.json

Each method is trained once with its own settings; at every validation its users are judged twice on the
validation cases, by the vectors that training gave them and by those that the benchmark folds in. Written
are the best NDCG@5 of both over the epochs, and beside it the ranks of every case there. The run stops by
the folded-in figure, as the benchmark does. For these cases the history is the training part of the user,
so both know the same events.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from unimp.baselines import METHODS
from unimp.baselines.baseline import TrainingData
from unimp.baselines.shared.bipartite import layer_mean
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray, Histories
from unimp.data.splits import leave_one_out
from unimp.evaluate.bench.environment import Environment
from unimp.features.for_methods import CatalogFeatures
from unimp.metrics.ranking import RankArray, rank_cases, ranking_metrics

Tables = tuple[Tensor, Tensor, Tensor | None]
"""[U, D] users, [I, D] items, [I] bias."""


def plain(method: Any) -> Tables:
    return method.module.users.weight, method.module.items.weight, None


def propagated(method: Any) -> Tables:
    module = method.module
    layers = method.graph.layers(module.users.weight, module.items.weight, method.config.layers)
    users, items = (layer_mean([layer[side] for layer in layers]) for side in (0, 1))
    return users, items, None


def visual(method: Any) -> Tables:
    module = method.module
    users = torch.cat([module.users.weight, module.visual_users.weight], dim=1)
    items = torch.cat([module.items.weight, module.project(module.features)], dim=1)
    return users, items, module.bias.weight[:, 0] + module.visual_bias(module.features)[:, 0]


TRAINED: dict[str, Callable[[Any], Tables]] = {
    "mf": plain, "ultragcn": plain, "lightgcn": propagated, "vbpr": visual,
}  # fmt: skip


@dataclass
class TrainedUsers:
    """A ranker that knows training users by name."""

    tables: Tables
    row_of: dict[str, int]

    def score(self, histories: Histories) -> FloatArray:
        users, items, bias = self.tables
        rows = torch.tensor([self.row_of[name] for name in histories.user_ids.tolist()])
        scores = users[rows] @ items.T
        return (scores if bias is None else scores + bias).numpy()


@dataclass
class Best:
    quality: float = -1.0
    epoch: int = 0
    ranks: RankArray | None = None

    def offer(self, ranks: RankArray, epoch: int) -> None:
        quality = ranking_metrics(ranks, (5,))["NDCG@5"]
        if quality > self.quality:
            self.quality, self.epoch, self.ranks = quality, epoch, ranks


def measure(name: str, data: TrainingData, seed: int) -> dict[str, Best]:
    """The best of both ways over the validations of one training."""
    row_of = {user: row for row, user in enumerate(data.train.user_ids.tolist())}
    found = {"folded in": Best(), "trained": Best()}

    class Measured(METHODS[name].load()):  # type: ignore[misc]  # a class found by name
        validations = 0

        def validate(self, data: TrainingData) -> float:
            quality: float = super().validate(data)
            Measured.validations += 1
            with torch.inference_mode():
                trained = TrainedUsers(TRAINED[name](self), row_of)
                rankers = {"folded in": self, "trained": trained}
                for label, ranker in rankers.items():
                    ranks = rank_cases(ranker, data.valid, exclude_history=data.exclude_history)
                    found[label].offer(ranks, Measured.validations * self.config.validate_every)
            return quality

    Measured(METHODS[name].config()).fit(data, seed=seed)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--methods", default="mf,lightgcn")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dataset = Dataset.load(options.data)
    split = leave_one_out(dataset.interactions.histories, len(dataset.catalog))
    data = TrainingData.of(split, dataset.catalog, features=CatalogFeatures(dataset.catalog))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "data": f"{options.data.resolve().name} ({dataset.data_hash})", "split": "leave-one-out, validation",
        "seed": options.seed, "cases": len(split.valid),
        "environment": Environment.here("cpu").model_dump(mode="json"), "methods": {},
    }  # fmt: skip
    columns: dict[str, Any] = {}
    for name in options.methods.split(","):
        start = time.process_time()
        found = measure(name, data, options.seed)
        ranks = {label: best.ranks for label, best in found.items() if best.ranks is not None}
        gain = np.where(ranks["trained"] <= 5, 1 / np.log2(1 + ranks["trained"]), 0.0)
        gain = gain - np.where(ranks["folded in"] <= 5, 1 / np.log2(1 + ranks["folded in"]), 0.0)
        report["methods"][name] = {
            "NDCG@5": {label: round(best.quality, 6) for label, best in found.items()},
            "epoch": {label: best.epoch for label, best in found.items()},
            "trained less folded in": round(float(gain.mean()), 6),
            "standard error": round(float(gain.std() / len(gain) ** 0.5), 6),
            "cpu seconds": round(time.process_time() - start, 1),
        }
        columns |= {f"{name}: {label}": values for label, values in ranks.items()}
        pl.DataFrame(columns).write_parquet(options.out.with_suffix(".parquet"), compression="zstd")
        options.out.write_text(json.dumps(report, indent=1) + "\n")
        print(name, report["methods"][name], flush=True)


if __name__ == "__main__":
    with one_line_errors():
        main()
