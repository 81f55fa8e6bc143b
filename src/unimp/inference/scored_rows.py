"""`ScoredRows`: the best items of scores, in a stable order."""

# U users, I items, N candidates

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from unimp.data.histories import FloatArray, Histories, IntArray

NO_IDS: Mapping[int, str] = MappingProxyType({})


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
    new_ids: Mapping[int, str] = NO_IDS,
) -> list[ScoredRows]:
    """Each user's `counts` best items; where asked, without those of the history. Changes the scores.

    Equals come in rising order of row, behind them those that `new_ids` names, by id: their rows depend on
    when each server heard of them.
    """
    for user, excluded in enumerate(exclude_history):
        if excluded:
            scores_UI[user, histories.items_of(user)] = -np.inf
    rows = np.arange(scores_UI.shape[1])
    return [
        best_of_candidates(rows, scores_I, count, new_ids)
        for scores_I, count in zip(scores_UI, counts, strict=True)
    ]


def best_of_candidates(
    rows: IntArray, scores: FloatArray, count: int, new_ids: Mapping[int, str] = NO_IDS
) -> ScoredRows:
    """The `count` best of some items, whose rows are in rising order; equals as in `best_rows`, no -inf."""
    if not len(rows):
        return ScoredRows(rows, scores)
    places = np.argpartition(-scores, min(count, len(scores)) - 1)[:count]
    least = scores[places].min()
    if least > -np.inf:
        equals = np.flatnonzero(scores == least)  # the partition takes any of them
        places = np.concatenate((places[scores[places] > least], equals))
    else:
        places = places[scores[places] > -np.inf]
    order = np.lexsort((order_of_equals(rows[places], new_ids), -scores[places]))[:count]
    return ScoredRows(rows[places[order]], scores[places[order]])


def order_of_equals(rows: IntArray, new_ids: Mapping[int, str]) -> IntArray:
    """[N] numbers that rise in the order of equal items."""
    late = sorted((new_ids[row], place) for place, row in enumerate(rows.tolist()) if row in new_ids)
    order = rows.copy()
    if late:
        order[[place for _, place in late]] = rows.max() + 1 + np.arange(len(late))
    return order
