"""Scores of a few items of a large catalogue: what one user's items add, without an array of all items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unimp.data.histories import FloatArray, Histories, IntArray


def met_items(histories: Histories, recency: float) -> tuple[IntArray, FloatArray]:
    """One user's items in rising order, and recency^(events since the latest one with it)."""
    ages = histories.num_events - 1 - np.arange(histories.num_events)
    rows, latest = np.unique(histories.item_rows[::-1], return_index=True)
    weights = np.power(recency, ages[::-1][latest]).astype(np.float32)
    return np.asarray(rows, dtype=np.int64), weights


@dataclass(frozen=True)
class RowScores:
    """Scores of some items; all others have 0."""

    rows: IntArray
    """In rising order, each once."""
    scores: FloatArray

    @classmethod
    def summed(cls, rows: IntArray, scores: FloatArray) -> RowScores:
        """Of rows in any order, the scores of equal ones added."""
        found, places = np.unique(rows, return_inverse=True)
        sums = np.bincount(places, weights=scores, minlength=len(found)).astype(np.float32)
        return cls(np.asarray(found, dtype=np.int64), sums)

    def at(self, rows: IntArray) -> FloatArray:
        """[N] the scores of these rows."""
        if not len(self.rows):
            return np.zeros(len(rows), dtype=np.float32)
        places = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[places] == rows, self.scores[places], np.float32(0))

    def best(self, count: int) -> IntArray:
        """The at most `count` rows of highest score, in no order."""
        if len(self.rows) <= count:
            return self.rows
        return self.rows[np.argpartition(-self.scores, count - 1)[:count]]


def weighted_rows(matrix: Any, rows: IntArray, weights: FloatArray) -> RowScores:
    """Σ weights[i] · matrix[rows[i]] of a matrix that is CSR or plain."""
    if isinstance(matrix, np.ndarray):
        sums = np.asarray(weights @ matrix[rows], dtype=np.float32)
        found = np.flatnonzero(sums)
        return RowScores(found, sums[found])
    parts = [slice(matrix.indptr[row], matrix.indptr[row + 1]) for row in rows.tolist()]
    if not parts:
        return RowScores(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    columns = np.concatenate([matrix.indices[part] for part in parts])
    values = np.concatenate([weight * matrix.data[part] for part, weight in zip(parts, weights, strict=True)])
    return RowScores.summed(columns, values)
