"""Items without an event stand in the log's relations where the items most like them stand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from unimp.answer import Ranker
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.fusion.graphs import Relation

LIKE = 10
"""Items with events that a cold item is placed by."""


def stand_ins(likenesses: Iterable[Relation], counts: FloatArray | IntArray) -> Any | None:
    """[I, I] CSR identity, and in the row of a cold item its LIKE nearest warm ones, weights summing to 1.

    `counts`: [I] events; a cold item has none. One that is like none keeps its bare self. None when nothing
    is cold, or nothing tells likeness.
    """
    cold, warm = np.flatnonzero(counts == 0), np.flatnonzero(counts)
    relations = list(likenesses)
    if not len(cold) or not len(warm) or not relations:
        return None
    total = sum(np.maximum(relation.cells(cold, warm), 0.0) for relation in relations)
    count = min(LIKE, len(warm))
    near = np.argpartition(-np.asarray(total), count - 1, axis=1)[:, :count]
    values = np.take_along_axis(np.asarray(total), near, axis=1)
    sums = values.sum(axis=1, keepdims=True)
    values = np.where(sums > 0, values / np.maximum(sums, 1e-9), 0.0).astype(np.float32)
    rows = np.repeat(cold, count)
    shape = (len(counts), len(counts))
    filled = sp.csr_matrix((values.ravel(), (rows, warm[near].ravel())), shape=shape)
    filled.eliminate_zeros()
    return (sp.identity(len(counts), dtype=np.float32, format="csr") + filled).tocsr()


def place(relation: Relation, stand_in: Any) -> Relation:
    """The relation with rows and columns of cold items filled; rows and columns of the others stay."""
    weights = relation.weights
    if isinstance(weights, np.ndarray):
        filled = np.ascontiguousarray((stand_in @ (stand_in @ weights).T).T, dtype=np.float32)
        np.fill_diagonal(filled, 0.0)
        return Relation(filled)
    found = (stand_in @ weights @ stand_in.T).tocsr()
    found.setdiag(0.0)
    found.eliminate_zeros()
    return Relation(found)


def spread(counts: FloatArray, stand_in: Any) -> FloatArray:
    """[I] counts, those of a cold item the mean of its stand-ins'."""
    return np.asarray(stand_in @ counts, dtype=np.float32)


@dataclass(frozen=True)
class PlacedScores:
    """A method whose items without an event score as the mean of the items most like them.

    A method that learned from the log alone has nothing to say of them, and puts them behind all others.
    """

    method: Ranker
    cold: IntArray
    """[C] rows of the items without an event that are like others."""
    nearest: Any
    """[C, I] CSR weights of the items that stand for them, 1 together."""

    @classmethod
    def of(cls, method: Ranker, stand_in: Any) -> PlacedScores:
        """`stand_in`: see `stand_ins`."""
        nearest = (stand_in - sp.identity(stand_in.shape[0], dtype=np.float32, format="csr")).tocsr()
        nearest.eliminate_zeros()
        cold = np.flatnonzero(np.diff(nearest.indptr))
        return cls(method, cold, nearest[cold])

    def score(self, histories: Histories) -> FloatArray:
        """[U, I]; see `Ranker`."""
        scores = np.array(self.method.score(histories), dtype=np.float32)
        scores[:, self.cold] = (self.nearest @ scores.T).T
        return scores
