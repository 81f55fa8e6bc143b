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

LEAST, MOST = 32, 128
"""Regressors of an item."""
PAIRS = 32 * 32 * 100_000
"""Pairs of regressors that are looked up for all items together: 32 regressors each for 100,000 items."""
BLOCK_PAIRS = 2**26
"""Pairs of regressors that are laid out at once, 4 bytes each."""


def regressors_for(num_items: int) -> int:
    """How many regressors an item has: few where items are many, for time; more than 128 gain nothing."""
    return int(np.clip((PAIRS / num_items) ** 0.5, LEAST, MOST))


def neighbour_ridge(together: Any, counts_I: FloatArray, *, l2: float, regressors: int) -> Any:
    """[I, I] CSR, weights[i, j] of item i for item j; at most `regressors` entries a column.

    together: [I, I] CSR of the users that two items share, without the diagonal, perhaps only each row's
    largest; a pair that is missing there counts as never met together. counts_I: users of every item.
    """
    num_items = len(counts_I)
    best_IK = largest_columns(together, regressors)
    block = max(1, BLOCK_PAIRS // (best_IK.shape[1] * (best_IK.shape[1] + 1)))
    together = together.maximum(together.T).tocsr()
    weights_IK = np.concatenate(
        [
            solved(together, counts_I, np.arange(start, min(start + block, num_items)), best_IK, l2)
            for start in range(0, num_items, block)
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
    width = best_BK.shape[1]
    system_BKM = shared_users(together, best_BK, np.concatenate([best_BK, items_B[:, None]], axis=1))
    places = np.arange(width)
    system_BKM[:, places, places] = np.where(best_BK >= 0, counts_I[best_BK] + np.float32(l2), 1.0)
    weights_BK1 = np.linalg.solve(system_BKM[:, :, :width], system_BKM[:, :, width:])
    return np.asarray(weights_BK1[:, :, 0], dtype=np.float32)


def shared_users(together: Any, rows_BK: np.ndarray, columns_BM: np.ndarray) -> FloatArray:
    """[B, K, M] together[rows_BK[b, k], columns_BM[b, m]]; 0 where either is -1.

    Each row of the matrix is laid out in full once and read at all the places that want it: faster by far
    than a binary search for every pair.
    """
    (size, width), num_items = rows_BK.shape, together.shape[0]
    found_NM = np.zeros((size * width, columns_BM.shape[1]), dtype=np.float32)
    order = np.argsort(rows_BK.ravel(), kind="stable")
    bounds = np.searchsorted(rows_BK.ravel()[order], np.arange(num_items + 1)).tolist()
    starts, indices, data = together.indptr.tolist(), together.indices, together.data
    full = np.zeros(num_items + 1, dtype=np.float32)  # the last one stands for column -1
    for row in range(num_items):
        if bounds[row] == bounds[row + 1]:
            continue
        places = order[bounds[row] : bounds[row + 1]]
        here = slice(starts[row], starts[row + 1])
        full[indices[here]] = data[here]
        found_NM[places] = full[columns_BM[places // width]]
        full[indices[here]] = 0.0
    return found_NM.reshape(size, width, -1)


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
