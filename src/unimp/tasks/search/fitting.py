"""The fusion weights of search."""

from __future__ import annotations

import numpy as np

from unimp.data.histories import Cases, FloatArray
from unimp.fusion.structure import StructureConfig
from unimp.fusion.weights import FittedWeights, RankingSearch, nothing_to_choose_by
from unimp.inference.score_sources import SourceWeight
from unimp.inference.searching import ModelSearcher
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

    def alone(block: Cases, start: int) -> FloatArray:
        scores = searcher.log_probabilities(block.histories, queries[start : start + len(block)])
        if exclude_history:
            mask_history(scores, block.histories)
        return scores

    def unit(name: str, recency: float, block: Cases, start: int) -> FloatArray:
        share = SourceWeight(weight=1.0, recency=recency)
        return searcher.sources.score(name, share, block.histories, queries[start : start + len(block)])

    search = RankingSearch(cases, len(searcher.sources.popularity), alone, unit)
    return search.fit(searcher.sources.names(queries), config)
