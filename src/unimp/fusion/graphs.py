"""Item-item relations as matrices: dense for small catalogues, the largest entries of rows for large ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.features.item_graph import capped, ease_graph, keep_largest, user_item_matrix

DENSE_ITEMS = 16_000
"""Up to so many items a relation is a plain array (1 GiB); past it, the NEIGHBOURS largest of every row."""
NEIGHBOURS = 500


@dataclass(frozen=True)
class Relation:
    """weights[i, j]: how item j stands to item i of the history; nothing on the diagonal.

    [I, I] float32, a plain array or CSR.
    """

    weights: Any

    def rows(self, items: IntArray) -> FloatArray:
        """[len(items), I]."""
        if isinstance(self.weights, np.ndarray):
            return np.asarray(self.weights[items], dtype=np.float32)
        found = np.zeros((len(items), self.weights.shape[1]), dtype=np.float32)
        for out, (columns, values) in zip(found, self._stored(items), strict=True):
            out[columns] = values
        return found

    def cells(self, items: IntArray, candidates: IntArray) -> FloatArray:
        """[len(items), len(candidates)]."""
        if isinstance(self.weights, np.ndarray):
            return np.asarray(self.weights[items][:, candidates], dtype=np.float32)
        once, again = np.unique(candidates, return_inverse=True)
        if len(once) < len(candidates):  # a history may hold an item twice
            return self.cells(items, once)[:, again]
        found = np.zeros((len(items), len(candidates)), dtype=np.float32)
        place = np.full(self.weights.shape[1], -1, dtype=np.int64)
        place[candidates] = np.arange(len(candidates))
        for out, (columns, values) in zip(found, self._stored(items), strict=True):
            places = place[columns]
            asked = places >= 0
            out[places[asked]] = values[asked]
        return found

    def _stored(self, items: IntArray) -> Iterator[tuple[Any, Any]]:
        """Columns and values of each row of the CSR matrix. SciPy's own indexing checks and copies so much
        that it costs more than what is made from the rows."""
        starts, columns, values = self.weights.indptr, self.weights.indices, self.weights.data
        for item in items:
            span = slice(starts[item], starts[item + 1])
            yield columns[span], values[span]


def as_relation(matrix: Any, *, dense: bool) -> Relation:
    """The CSR matrix in the form that its size asks for, its diagonal emptied."""
    matrix.setdiag(0.0)
    matrix.eliminate_zeros()
    if dense:
        return Relation(np.asarray(matrix.toarray(), dtype=np.float32))
    return Relation(keep_largest(matrix.astype(np.float32), NEIGHBOURS))


def count_pairs(train: Histories, num_items: int) -> tuple[Any, FloatArray]:
    """[I, I] CSR users who had both items, and [I] users who had each; long histories are capped."""
    users = user_item_matrix(capped(train), num_items)
    together = (users.T @ users).tocsr().astype(np.float32)
    return together, np.asarray(together.diagonal(), dtype=np.float32)


def cosine(together: Any, counts: FloatArray, *, dense: bool) -> Relation:
    """c_ij / sqrt(n_i n_j)."""
    scale = sp.diags((1.0 / np.sqrt(np.maximum(counts, 1.0))).astype(np.float32))
    return as_relation((scale @ together @ scale).tocsr(), dense=dense)


def short_cosine(train: Histories, num_items: int, *, dense: bool) -> Relation:
    """The cosine, with each user's pairs divided by the number of their items: two of three say more than two
    of fifty."""
    users = user_item_matrix(capped(train, show=False), num_items)
    sizes = np.maximum(np.asarray(users.sum(axis=1)).ravel(), 1.0)
    together = (users.T @ sp.diags((1.0 / sizes).astype(np.float32)) @ users).tocsr()
    return cosine(together, np.asarray(users.sum(axis=0), dtype=np.float32).ravel(), dense=dense)


def transitions(train: Histories, num_items: int, gap: int, *, shrink: float = 2.0) -> Relation:
    """How often item j came `gap` events after item i: n_ij / (n_i + shrink); kept sparse."""
    owners, rows = train.owners(), train.item_rows
    same = owners[gap:] == owners[:-gap] if train.num_events > gap else np.zeros(0, dtype=np.bool_)
    before, after = rows[:-gap][same], rows[gap:][same]
    shape = (num_items, num_items)
    counts: Any = sp.coo_matrix((np.ones(len(before), np.float32), (before, after)), shape=shape).tocsr()
    out = np.asarray(counts.sum(axis=1)).ravel()
    return Relation((sp.diags((1.0 / (out + shrink)).astype(np.float32)) @ counts).tocsr())


def ease(train: Histories, num_items: int, l2: float, *, dense: bool) -> Relation:
    """EASE (Steck, WWW 2019); ConfigError past what it can invert."""
    graph = ease_graph(capped(train, show=False), num_items, l2=l2, neighbours=None if dense else NEIGHBOURS)
    return Relation(graph.weights)


def likeness(vectors: Any, *, dense: bool) -> Relation:
    """Products of unit rows, [I, F] CSR or plain; an item's likeness to itself is left out."""
    if not dense:
        parts = [
            keep_largest(
                sp.csr_matrix(without_own(vectors[start : start + 1024] @ vectors.T, start)), NEIGHBOURS
            )
            for start in range(0, vectors.shape[0], 1024)
        ]
        return Relation(sp.vstack(parts, format="csr"))
    product = vectors @ vectors.T
    full = product if isinstance(product, np.ndarray) else product.toarray()
    return Relation(without_own(np.asarray(full, dtype=np.float32), 0))


def without_own(block: Any, start: int) -> FloatArray:
    values = np.asarray(block if isinstance(block, np.ndarray) else block.toarray(), dtype=np.float32)
    values[np.arange(len(values)), start + np.arange(len(values))] = 0.0
    return values
