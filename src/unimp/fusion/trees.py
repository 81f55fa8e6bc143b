"""Boosted trees on the logit's first items: LambdaRank in folds over users, each stopped out of its fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unimp.data.histories import FloatArray, IntArray
from unimp.fusion.config import FusionConfig

PATIENCE = 30
"""Trees without a better NDCG@5 out of the fold."""


@dataclass(frozen=True)
class Shortlists:
    """U users' first N items, in the logit's order."""

    features: FloatArray
    """[U, N, F]."""
    hits: IntArray
    """[U] place of the target among the N; -1 when it is not there."""


def settings(config: FusionConfig, number: int) -> dict[str, Any]:
    """LightGBM's; deterministic on one thread."""
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [5],
        "learning_rate": config.learning_rate,
        "num_leaves": 15,
        "min_data_in_leaf": 200,
        "feature_fraction": 0.4,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 20.0,
        "lambdarank_truncation_level": 20,
        "lambdarank_norm": False,
        "num_threads": 1,
        "deterministic": True,
        "verbose": -1,
        "seed": config.seed * config.folds * config.bags + number,
    }


def dataset(shortlists: Shortlists) -> Any:
    """All users whose target is on their list, binned once for every fold; LightGBM's."""
    import lightgbm as lgb  # answering without a learned fusion needs none of it

    hit = np.flatnonzero(shortlists.hits >= 0)
    labels = np.zeros((len(hit), shortlists.features.shape[1]), dtype=np.int8)
    labels[np.arange(len(hit)), shortlists.hits[hit]] = 1
    chosen = shortlists.features if len(hit) == len(shortlists.hits) else shortlists.features[hit]
    flat = chosen.reshape(-1, chosen.shape[2])
    groups = [labels.shape[1]] * len(hit)
    return lgb.Dataset(flat, labels.ravel(), group=groups, params={"verbose": -1}).construct()


def fit_fold(whole: Any, inside: IntArray, outside: IntArray, config: FusionConfig, fold: int) -> list[Any]:
    """Boosters learnt from the lists `inside` (places among those of `whole`), each stopped by `outside`."""
    import lightgbm as lgb

    width = whole.num_data() // len(whole.get_group())
    parts = [
        whole.subset((lists[:, None] * width + np.arange(width)).ravel().tolist())
        for lists in (inside, outside)
    ]
    return [
        lgb.train(
            settings(config, fold * config.bags + bag),
            parts[0],
            config.rounds,
            valid_sets=[parts[1]],
            callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
        )
        for bag in range(config.bags)
    ]


def predict(boosters: Sequence[Any], features: FloatArray) -> FloatArray:
    """[U, N] mean of the boosters' scores. features: [U, N, F]."""
    flat = features.reshape(-1, features.shape[2])
    total = np.zeros(len(flat))
    for booster in boosters:
        total += booster.predict(flat, num_threads=1)
    mean: FloatArray = (total / max(len(boosters), 1)).astype(np.float32).reshape(features.shape[:2])
    return mean
