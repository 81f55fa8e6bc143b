"""SLIM by ridge regression on each item's nearest neighbours: EASE where its inverse is too large.

EASE regresses every item on all others. Here item j is regressed on the few items that most often come with
it (feature selection by neighbours: fsSLIM, Ning & Karypis, ICDM 2011, sec. 4.3), in the closed form of the
same ridge regression. Time and memory grow with the number of items.
"""

# I items, B items of a block, K regressors

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from unimp.data.histories import FloatArray

REGRESSORS = 32
BLOCK = 2048


def neighbour_ridge(together: Any, counts_I: FloatArray, *, l2: float, regressors: int = REGRESSORS) -> Any:
    """[I, I] CSR, weights[i, j] of item i for item j; at most `regressors` entries a column.

    together: [I, I] CSR of the users that two items share, without the diagonal, perhaps only each row's
    largest; a pair that is missing there counts as never met together. counts_I: users of every item.
    """
    num_items = len(counts_I)
    best_IK = largest_columns(together, regressors)
    together = together.maximum(together.T).tocsr()
    together.sort_indices()
    weights_IK = np.concatenate(
        [
            solved(together, counts_I, np.arange(start, min(start + BLOCK, num_items)), best_IK, l2)
            for start in range(0, num_items, BLOCK)
        ]
    )
    owners = np.repeat(np.arange(num_items), best_IK.shape[1])
    real = best_IK.ravel() >= 0
    entries = (weights_IK.ravel()[real], (best_IK.ravel()[real], owners[real]))
    return sp.coo_matrix(entries, shape=(num_items, num_items)).tocsr()


def solved(
    together: Any, counts_I: FloatArray, items_B: np.ndarray, best_IK: np.ndarray, l2: float
) -> FloatArray:
    """[B, K] the ridge regressions of some items on their regressors; 0 where there is none."""
    best_BK = best_IK[items_B]
    real_BK, safe_BK = best_BK >= 0, np.maximum(best_BK, 0)
    width = best_BK.shape[1]
    gram_BKK = np.zeros((len(items_B), width, width), dtype=np.float32)
    first, second = np.triu_indices(width, k=1)
    pairs = real_BK[:, first] & real_BK[:, second]
    found = np.zeros(pairs.shape, dtype=np.float32)
    found[pairs] = entries(together, safe_BK[:, first][pairs], safe_BK[:, second][pairs])
    gram_BKK[:, first, second] = gram_BKK[:, second, first] = found
    places = np.arange(width)
    gram_BKK[:, places, places] = np.where(real_BK, counts_I[safe_BK] + np.float32(l2), 1.0)
    right_BK = np.zeros(best_BK.shape, dtype=np.float32)
    owners = np.repeat(items_B, width).reshape(best_BK.shape)
    right_BK[real_BK] = entries(together, safe_BK[real_BK], owners[real_BK])
    return np.asarray(np.linalg.solve(gram_BKK, right_BK[:, :, None])[:, :, 0], dtype=np.float32)


def entries(matrix: Any, rows: np.ndarray, columns: np.ndarray) -> FloatArray:
    """The entries of a sorted CSR at these places."""
    if not len(rows):
        return np.empty(0, dtype=np.float32)
    return np.asarray(matrix[rows, columns], dtype=np.float32).ravel()


def largest_columns(matrix: Any, k: int) -> np.ndarray:
    """[I, k] the columns of each row's largest entries, -1 where a row has fewer."""
    lengths = np.diff(matrix.indptr)
    columns = np.full((len(lengths), min(k, max(int(lengths.max(initial=0)), 1))), -1, dtype=np.int64)
    for row, (start, length) in enumerate(zip(matrix.indptr[:-1].tolist(), lengths.tolist(), strict=True)):
        entries_here = slice(start, start + length)
        if length > k:
            best = np.argpartition(-matrix.data[entries_here], k - 1)[:k]
            columns[row] = matrix.indices[entries_here][best]
        else:
            columns[row, :length] = matrix.indices[entries_here]
    return columns
