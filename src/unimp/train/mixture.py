"""The weight of the log's item–item score beside the model, chosen on validation."""

from __future__ import annotations

import numpy as np

from unimp.data.histories import Cases
from unimp.decode.ranking import Mixture, ModelRanker
from unimp.metrics.ranking import mask_history, ranking_metrics, target_ranks
from unimp.train.recipe import StructureConfig

HEADLINE = "NDCG@5"


def fit_mixture(
    ranker: ModelRanker, valid: Cases, config: StructureConfig, batch: int = 512
) -> tuple[Mixture, dict[str, float]]:
    """The (weight, recency) with the best validation NDCG@5, and what each pair reached.

    One pass over the model; every pair re-uses its log-probabilities.
    """
    recencies = config.recencies if ranker.graph is not None else (1.0,)
    weights = config.weights if ranker.graph is not None else (0.0,)
    ranks: dict[tuple[float, float], list[np.ndarray]] = {}
    for start in range(0, len(valid), batch):
        cases = valid.select(np.arange(start, min(start + batch, len(valid))))
        model_scores = ranker.log_probabilities(cases.histories)
        for recency in recencies:
            graph = ranker.graph.score(cases.histories, recency) if ranker.graph is not None else None
            for weight in weights:
                scores = model_scores.copy() if graph is None else model_scores + np.float32(weight) * graph
                mask_history(scores, cases.histories)
                ranks.setdefault((weight, recency), []).append(target_ranks(scores, cases.target_rows))
    reached = {pair: ranking_metrics(np.concatenate(parts))[HEADLINE] for pair, parts in ranks.items()}
    weight, recency = max(reached, key=lambda pair: (reached[pair], -pair[0], pair[1]))
    named = {f"weight={w:g} recency={r:g}": value for (w, r), value in reached.items()}
    return Mixture(weight=weight, recency=recency), named
