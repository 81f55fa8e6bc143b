"""The fusion weights of recommendation."""

from __future__ import annotations

from unimp.data.histories import Cases, FloatArray
from unimp.fusion.structure import StructureConfig
from unimp.fusion.weights import FittedWeights, RankingSearch
from unimp.inference.retrieval import ModelRanker
from unimp.inference.score_sources import SourceWeight
from unimp.metrics.ranking import mask_history


def fit_recommendation_weights(
    ranker: ModelRanker, valid: Cases, config: StructureConfig, *, exclude_history: bool = True
) -> FittedWeights:
    """Recommendation: the best NDCG@5 over the full catalogue."""

    def alone(block: Cases, start: int) -> FloatArray:
        scores = ranker.log_probabilities(block.histories)
        if exclude_history:
            mask_history(scores, block.histories)
        return scores

    def unit(name: str, recency: float, block: Cases, start: int) -> FloatArray:
        return ranker.sources.score(name, SourceWeight(weight=1.0, recency=recency), block.histories)

    search = RankingSearch(valid, len(ranker.sources.popularity), alone, unit)
    return search.fit(ranker.sources.names(None), config)
