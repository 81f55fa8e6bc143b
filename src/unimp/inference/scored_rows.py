"""`ScoredRows`: the best items of scores, in a stable order."""

# U users, I items, N candidates

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unimp.data.histories import FloatArray, Histories, IntArray


@dataclass(frozen=True)
class ScoredRows:
    """The best items of one answer, in falling order of score."""

    rows: IntArray
    scores: FloatArray


def best_rows(
    scores_UI: FloatArray,
    histories: Histories,
    counts: Sequence[int],
    exclude_history: Sequence[bool | None],
) -> list[ScoredRows]:
    """Each user's `counts` best items; where asked, without those of the history. Changes the scores."""
    for user, excluded in enumerate(exclude_history):
        if excluded:
            scores_UI[user, histories.items_of(user)] = -np.inf
    return largest(scores_UI, counts)


def best_of_candidates(rows: IntArray, scores: FloatArray, count: int) -> ScoredRows:
    """The `count` best of some items, whose rows are in rising order."""
    if not len(rows):
        return ScoredRows(rows, scores)
    (best,) = largest(scores[None], [count])
    return ScoredRows(rows[best.rows], best.scores)


def largest(scores_UN: FloatArray, counts: Sequence[int]) -> list[ScoredRows]:
    """Each row's `counts` largest scores, equals in rising order of place; what is -inf is left out."""
    most = min(max(counts), scores_UN.shape[1])
    places = np.argpartition(-scores_UN, most - 1, axis=1)[:, :most]
    values = np.take_along_axis(scores_UN, places, axis=1)
    order = np.lexsort((places, -values), axis=1)
    places, values = np.take_along_axis(places, order, axis=1), np.take_along_axis(values, order, axis=1)
    return [
        ScoredRows(best[:count][found[:count] > -np.inf], found[:count][found[:count] > -np.inf])
        for best, found, count in zip(places, values, counts, strict=True)
    ]
