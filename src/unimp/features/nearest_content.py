"""Nearest neighbours by content in a catalogue too large to compare every pair: near cells are compared."""

# I items, F width, K cells, N rows of one cell, C candidates

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unimp.data.histories import FloatArray, IntArray

ITERATIONS = 8
"""Of k-means."""
SAMPLE_PER_CELL = 40
PROBES = 24
"""Cells whose items a cell's items are compared with, its own among them."""
MOST_CANDIDATES = 50_000
"""Of one cell: a catalogue with many equal texts would compare all of them with each other."""


def near_blocks(content_IF: FloatArray, *, seed: int = 0) -> Iterator[tuple[IntArray, IntArray]]:
    """(rows [N], candidates [C] in rising order) of every cell: its rows' neighbours are mostly among them.

    The cells are those of spherical k-means (Dhillon & Modha 2001), about 2 √I of them, so that the work
    grows with I √I and not with I². content_IF: unit rows, or zeros, which are in no cell.
    """
    known = np.flatnonzero(content_IF.any(axis=1))
    if not len(known):
        return
    centres_KF = cell_centres(content_IF[known], seed)
    cells = nearest_cells(content_IF[known], centres_KF)
    order = np.argsort(cells, kind="stable")
    members = known[order]
    bounds = np.searchsorted(cells[order], np.arange(len(centres_KF) + 1))
    probes = min(PROBES, len(centres_KF))
    for cell, centre_F in enumerate(centres_KF):
        rows = members[bounds[cell] : bounds[cell + 1]]
        if not len(rows):
            continue
        likeness_K = centres_KF @ centre_F
        likeness_K[cell] = np.inf
        near = np.argpartition(-likeness_K, probes - 1)[:probes]
        near = near[np.argsort(-likeness_K[near], kind="stable")]
        candidates = np.concatenate([members[bounds[other] : bounds[other + 1]] for other in near])
        yield rows, np.sort(candidates[:MOST_CANDIDATES])


def cell_centres(content_IF: FloatArray, seed: int) -> FloatArray:
    """[K, F] unit rows."""
    rng = np.random.default_rng(seed)
    count = max(1, min(len(content_IF), round(2 * len(content_IF) ** 0.5)))
    size = min(len(content_IF), SAMPLE_PER_CELL * count)
    sample_NF = content_IF[np.sort(rng.choice(len(content_IF), size=size, replace=False))]
    centres_KF = sample_NF[rng.choice(size, size=count, replace=False)]
    for _ in range(ITERATIONS):
        cells = nearest_cells(sample_NF, centres_KF)
        order = np.argsort(cells, kind="stable")
        filled, starts = np.unique(cells[order], return_index=True)
        sums = np.add.reduceat(sample_NF[order], starts, axis=0)
        centres_KF[filled] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    return centres_KF


def nearest_cells(content_IF: FloatArray, centres_KF: FloatArray) -> IntArray:
    """[I] the cell of every row."""
    size = max(1, 2**24 // len(centres_KF))
    found = [
        np.argmax(content_IF[start : start + size] @ centres_KF.T, axis=1)
        for start in range(0, len(content_IF), size)
    ]
    return np.concatenate(found).astype(np.int64)
