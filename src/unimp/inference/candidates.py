"""`CandidateSearch`: which items of a large catalogue are scored, for one user or one query."""

# I items, N rows at once, D width

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from unimp.data.histories import FloatArray, IntArray
from unimp.inference.vector_index import NO_ROWS, HiddenRows, RowsOf, VectorIndex

PROPOSED = 512
"""Candidates that an index proposes at least."""
PER_ANSWER = 4
"""Candidates per item of the answer that an index proposes at least."""
MOST_RELATED = 8192
"""Items of highest score that a graph or a word proposes."""
MOST_POPULAR = 2048
"""Most popular items, proposed where there is no history."""
MOST_CHANGED = 8192
"""Changed items that are candidates of every answer; more of them are put into the lists."""


@dataclass(frozen=True)
class ItemVectors:
    """The part of an item's score that is an inner product: its vector, then its log popularity."""

    table_ID: Tensor
    popularity: FloatArray
    """[I]."""
    popularity_scale: float
    """Factor of log popularity in the last coordinate; 0 where no task uses popularity."""

    def rows(self, rows: IntArray) -> FloatArray:
        """[N, D + 1]."""
        vectors_ND = self.table_ID[torch.from_numpy(rows)].float().cpu().numpy()
        popular_N1 = self.popularity_scale * np.log1p(self.popularity[rows])[:, None]
        return np.ascontiguousarray(np.concatenate([vectors_ND, popular_N1], axis=1), dtype=np.float32)


def rows_of_tensor(table_ID: Tensor) -> RowsOf:
    """Rows of a table as the index takes them."""
    return lambda rows: np.ascontiguousarray(table_ID[torch.from_numpy(rows)].float().cpu().numpy())


@dataclass(frozen=True)
class CandidateSearch:
    """Proposes items by vectors, popularity and pictures; what is changed since the build is always proposed.

    A change of the catalogue makes a new search, this one stays as it is.
    """

    vectors: VectorIndex
    popularity_scale: float
    pictures: VectorIndex | None
    """Of unit vectors of pictures, the items that have one."""
    popular: IntArray
    """The most popular rows."""
    changed: IntArray = field(default_factory=lambda: NO_ROWS)
    """Rows that the lists hold with other vectors, or not at all; in rising order."""
    removed: IntArray = field(default_factory=lambda: NO_ROWS)
    """In rising order."""

    @cached_property
    def hidden(self) -> HiddenRows:
        """What the lists must not return."""
        return HiddenRows(np.union1d(self.changed, self.removed).astype(np.int64))

    @cached_property
    def always(self) -> IntArray:
        """Changed items that are there."""
        return np.setdiff1d(self.changed, self.removed)

    def with_probes(self, probes: int) -> CandidateSearch:
        """The search that reads so many lists."""
        pictures = None if self.pictures is None else self.pictures.with_probes(probes)
        return replace(self, vectors=self.vectors.with_probes(probes), pictures=pictures)

    def upsert(self, rows: IntArray, vectors: RowsOf, pictures: RowsOf | None) -> CandidateSearch:
        """The search that finds these rows by their present vectors."""
        changed = np.union1d(self.changed, rows).astype(np.int64)
        grown = replace(self, changed=changed, removed=np.setdiff1d(self.removed, rows))
        if len(changed) <= MOST_CHANGED:
            return grown
        return replace(
            grown,
            vectors=self.vectors.with_rows(changed, vectors, grown.removed),
            pictures=None
            if self.pictures is None or pictures is None
            else self.pictures.with_rows(changed, pictures, grown.removed),
            changed=NO_ROWS,
        )

    def remove(self, rows: IntArray) -> CandidateSearch:
        """The search that never proposes these rows."""
        return replace(self, removed=np.union1d(self.removed, rows).astype(np.int64))

    def query(self, direction_D: FloatArray, popularity_weight: float) -> FloatArray:
        """[D + 1] whose inner product with an item's row in `ItemVectors` is its score."""
        scale = self.popularity_scale
        last = popularity_weight / scale if scale else 0.0
        return np.append(direction_D, np.float32(last)).astype(np.float32)

    def candidates(
        self, query_D: FloatArray, count: int, excluded: IntArray, proposals: Iterable[IntArray]
    ) -> IntArray:
        """Rows in rising order to choose `count` from; `excluded` ones take nobody's place in the lists.

        `proposals`: rows from other sources; `excluded` and removed ones may be among them.
        """
        fetched = max(PROPOSED, PER_ANSWER * count)
        found = self.vectors.search(query_D, fetched, self.hidden, excluded)
        rows = np.unique(np.concatenate([found, self.always, *proposals]))
        gone = np.isin(rows, self.removed) if len(self.removed) else np.zeros(len(rows), dtype=bool)
        return np.asarray(rows[~gone], dtype=np.int64)

    def like_picture(self, unit_D: FloatArray, count: int) -> IntArray:
        """Rows whose pictures are nearest."""
        if self.pictures is None:
            return NO_ROWS
        return self.pictures.search(unit_D, max(PROPOSED, PER_ANSWER * count), self.hidden)
