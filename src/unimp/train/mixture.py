"""The mixture: what the log's structure, likeness of content and popularity count beside the model."""

from __future__ import annotations

import numpy as np

from unimp.data.histories import Cases, FloatArray
from unimp.decode.ranking import Mixture, ModelRanker, Share
from unimp.metrics.ranking import mask_history, ranking_metrics, target_ranks
from unimp.train.recipe import StructureConfig

HEADLINE = "NDCG@5"
ROUNDS = 2


def model_scores(ranker: ModelRanker, cases: Cases, batch: int = 512) -> FloatArray:
    """[N, I] log-probabilities of the model, the history masked."""
    parts = []
    for start in range(0, len(cases), batch):
        histories = cases.histories.slice(start, start + batch)
        scores = ranker.log_probabilities(histories)
        mask_history(scores, histories)
        parts.append(scores)
    return np.concatenate(parts)


def fit_mixture(
    ranker: ModelRanker, valid: Cases, config: StructureConfig
) -> tuple[Mixture, dict[str, float]]:
    """Shares with the best validation NDCG@5, found one at a time, twice round; and what each step reached.

    The model runs once; every trial re-uses its log-probabilities.
    """
    alone = model_scores(ranker, valid)
    chosen: dict[str, Share] = {}
    reached = {"model alone": quality(alone, valid)}
    best = reached["model alone"]
    for turn in range(ROUNDS):
        for name in (*ranker.graphs, "popularity"):
            base = alone + blend(ranker, valid, {key: share for key, share in chosen.items() if key != name})
            weights = config.popularity_weights if name == "popularity" else config.weights
            for recency in (1.0,) if name == "popularity" else config.recencies:
                unit = ranker.share_of(name, Share(weight=1.0, recency=recency), valid.histories)
                for weight in weights:
                    value = quality(base + np.float32(weight) * unit, valid)
                    if value > best:
                        best, chosen[name] = value, Share(weight=weight, recency=recency)
            reached[f"round {turn + 1}: {name}"] = best
    return Mixture(shares=chosen), reached


def blend(ranker: ModelRanker, cases: Cases, shares: dict[str, Share]) -> FloatArray | np.float32:
    """What `shares` add to the model's scores: [N, I], or nothing."""
    total: FloatArray | np.float32 = np.float32(0.0)
    for name, share in shares.items():
        total = total + ranker.share_of(name, share, cases.histories)
    return total


def quality(scores: FloatArray, cases: Cases) -> float:
    return ranking_metrics(target_ranks(scores, cases.target_rows))[HEADLINE]
