"""The fusion weights of recommendation."""

from __future__ import annotations

from unimp.data.histories import Cases, FloatArray, Histories
from unimp.fusion.structure import StructureConfig
from unimp.fusion.weights import FittedWeights, coordinate_search, in_batches, ranking_quality
from unimp.inference.retrieval import ModelRanker
from unimp.inference.score_sources import SourceWeight
from unimp.metrics.ranking import mask_history


def fit_recommendation_weights(ranker: ModelRanker, valid: Cases, config: StructureConfig) -> FittedWeights:
    """Recommendation: the best NDCG@5 over the full catalogue, history masked."""

    def scored(histories: Histories, start: int) -> FloatArray:
        scores = ranker.log_probabilities(histories)
        mask_history(scores, histories)
        return scores

    def unit(name: str, recency: float) -> FloatArray:
        return ranker.sources.score(name, SourceWeight(weight=1.0, recency=recency), valid.histories)

    names = ranker.sources.names(None)
    return coordinate_search(
        in_batches(valid, scored), names, unit, lambda s: ranking_quality(s, valid), config
    )
