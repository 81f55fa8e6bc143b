"""The fusion weights of search."""

from __future__ import annotations

import numpy as np

from unimp.data.histories import Cases, FloatArray, Histories
from unimp.fusion.structure import StructureConfig
from unimp.fusion.weights import (
    FittedWeights,
    coordinate_search,
    in_batches,
    nothing_to_choose_by,
    ranking_quality,
)
from unimp.inference.retrieval import ModelSearcher
from unimp.inference.score_sources import SourceWeight
from unimp.metrics.ranking import mask_history
from unimp.tasks.search.task import SearchTask


def fit_search(
    searcher: ModelSearcher,
    task: SearchTask,
    valid: Cases,
    config: StructureConfig,
    *,
    exclude_history: bool = True,
) -> FittedWeights:
    """Search: the best NDCG@5 of the users' own items."""
    posed = task.queries(valid)
    cases = valid.select(
        np.array([row for row, question in enumerate(posed) if question is not None], dtype=np.int64)
    )
    queries = [question.query for question in posed if question is not None]
    if not queries:
        return nothing_to_choose_by()

    def scored(histories: Histories, start: int) -> FloatArray:
        scores = searcher.log_probabilities(histories, queries[start : start + len(histories)])
        if exclude_history:
            mask_history(scores, histories)
        return scores

    def unit(name: str, recency: float) -> FloatArray:
        share = SourceWeight(weight=1.0, recency=recency)
        return searcher.sources.score(name, share, cases.histories, queries)

    names = searcher.sources.names(queries)
    return coordinate_search(
        in_batches(cases, scored), names, unit, lambda s: ranking_quality(s, cases), config
    )
