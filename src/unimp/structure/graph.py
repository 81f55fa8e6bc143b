"""`ItemGraph`: a sparse item–item score, and its two closed forms, cosine neighbours and EASE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from unimp.data.histories import FloatArray, Histories
from unimp.errors import ConfigError

EASE_MAX_ITEMS = 25_000
"""EASE inverts an items x items matrix: past this it wants more than 5 GB and several minutes."""


def user_item_matrix(histories: Histories, num_items: int, recency: float = 1.0) -> Any:
    """[U, num_items] CSR: 1 where a user met an item, or recency^(events since then) for recency < 1.

    A repeated item counts once, at its latest event.
    """
    ages = np.repeat(histories.offsets[1:], histories.lengths) - 1 - np.arange(histories.num_events)
    weights = np.power(recency, ages).astype(np.float32)
    owners = histories.owners()
    keys = owners * num_items + histories.item_rows
    # np.unique keeps the first of equals: walk from the latest event back.
    _, latest = np.unique(keys[::-1], return_index=True)
    kept = len(keys) - 1 - latest
    shape = (len(histories), num_items)
    return sp.csr_matrix((weights[kept], (owners[kept], histories.item_rows[kept])), shape=shape)


@dataclass(frozen=True)
class ItemGraph:
    """weights[i, j]: how much having met item i speaks for item j next. [num_items, num_items] CSR, float32."""

    weights: Any

    @property
    def num_items(self) -> int:
        return int(self.weights.shape[0])

    def score(self, histories: Histories, recency: float = 1.0) -> FloatArray:
        """[U, num_items] sum over a user's items of recency^age times their row of weights."""
        users = user_item_matrix(histories, self.num_items, recency)
        return np.asarray((users @ self.weights).toarray(), dtype=np.float32)


def keep_largest(matrix: Any, k: int) -> Any:
    """The k largest entries in magnitude of every row, as CSR."""
    if not isinstance(matrix, np.ndarray):
        rows: Any = matrix.tocsr()
        indptr, indices, data = rows.indptr, rows.indices, rows.data
        kept = [
            start + np.sort(np.argpartition(-np.abs(data[start:stop]), k - 1)[:k])
            if stop - start > k
            else np.arange(start, stop)
            for start, stop in zip(indptr[:-1], indptr[1:], strict=True)
        ]
        counts = np.array([len(part) for part in kept])
        chosen = np.concatenate(kept)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return sp.csr_matrix((data[chosen], indices[chosen], offsets), shape=rows.shape)
    k = min(k, matrix.shape[1])
    top = np.sort(np.argpartition(-np.abs(matrix), k - 1, axis=1)[:, :k], axis=1)
    offsets = np.arange(0, (len(matrix) + 1) * k, k)
    values = np.take_along_axis(matrix, top, axis=1)
    return sp.csr_matrix((values.ravel(), top.ravel(), offsets), shape=matrix.shape)


def cosine_graph(
    train: Histories, num_items: int, *, neighbours: int = 100, shrink: float = 0.0
) -> ItemGraph:
    """Item–item cosine of co-occurrence: c_ij / (sqrt(n_i n_j) + shrink), the best `neighbours` per item."""
    users = user_item_matrix(train, num_items)
    together = (users.T @ users).tocsr().astype(np.float32)
    counts = np.maximum(together.diagonal(), 1.0)
    together.setdiag(0.0)
    together.eliminate_zeros()
    rows = np.repeat(np.arange(num_items), np.diff(together.indptr))
    together.data = together.data / (np.sqrt(counts[rows] * counts[together.indices]) + shrink)
    return ItemGraph(keep_largest(together, neighbours))


def ease_graph(train: Histories, num_items: int, *, l2: float, neighbours: int | None = None) -> ItemGraph:
    """EASE (Steck, WWW 2019, eq. 8): B = I - P / diag(P) with P = (XᵀX + l2 I)⁻¹, zero diagonal.

    `neighbours` keeps the largest entries of every row; None keeps all of them.
    """
    if num_items > EASE_MAX_ITEMS:
        raise ConfigError(
            f"EASE: {num_items:,} items need {num_items**2 * 4 / 2**30:.0f} GiB; at most {EASE_MAX_ITEMS:,}, "
            "use cosine neighbours instead"
        )
    users = user_item_matrix(train, num_items)
    gram = (users.T @ users).toarray().astype(np.float32)
    gram[np.diag_indices(num_items)] += l2
    precision, status = scipy.linalg.lapack.spotrf(gram, lower=False, overwrite_a=True)
    if status == 0:
        precision, status = scipy.linalg.lapack.spotri(precision, lower=False, overwrite_c=True)
    if status != 0:
        raise ConfigError(f"EASE: the Gram matrix is singular at l2={l2}; raise l2")
    upper = np.triu(precision)
    precision = upper + np.triu(upper, 1).T
    weights = precision / -np.diag(precision)[None, :]
    weights[np.diag_indices(num_items)] = 0.0
    return ItemGraph(keep_largest(weights, neighbours or num_items))
