"""`VectorIndex`: approximate search by inner product, in inverted lists of 8-bit values."""

# I rows, N rows at once, D width, U queries

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import Field

from unimp.core.config import Config
from unimp.core.errors import MissingExtra
from unimp.data.histories import FloatArray, IntArray

BLOCK = 65_536
"""Rows that are added at once."""
SAMPLE = 64
"""Rows per list that the lists' centres are made from."""
ROUNDS = 8
"""Of k-means."""

NO_ROWS: IntArray = np.empty(0, dtype=np.int64)

RowsOf = Callable[[IntArray], FloatArray]
"""[N] rows of the table -> [N, D] their vectors."""


class RetrievalConfig(Config):
    """How the best items of a catalogue are found: every item is scored, or those that an index proposes.
    Items that are proposed are scored exactly."""

    kind: Literal["auto", "exact", "approximate"] = "auto"
    """`exact` scores every item, `approximate` what an index proposes (extra `ann`); `auto` scores every item
    up to `exact_items`, and past that where the extra is not installed."""
    exact_items: int = Field(200_000, ge=1)
    """Items up to which `auto` scores every one: below it the index saves little (results/scale)."""
    recall: float = Field(0.98, gt=0, le=1)
    """Share of the ten best items that the index must find on sample queries: it reads as many lists as that
    takes. What it reaches on others is printed and kept in the run."""
    lists: int = Field(0, ge=0)
    """Lists of the index; 0: the power of two nearest to the root of the number of items."""

    def num_lists(self, num_items: int) -> int:
        """At least 39 rows a list, which k-means asks for."""
        wanted = self.lists or 2 ** round(np.log2(max(num_items, 1)) / 2)
        return int(max(1, min(wanted, num_items // 39)))


def import_faiss() -> Any:
    """The library; MissingExtra where it is not installed."""
    try:
        import faiss
    except ImportError:
        raise MissingExtra(
            "retrieval.kind: approximate search needs faiss: pip install 'unimp[ann]', or set exact"
        ) from None
    return faiss


@dataclass(frozen=True)
class RowSelector:
    """A selector of faiss, which holds no reference to the parts it is made of."""

    root: Any
    parts: tuple[Any, ...]


@dataclass(frozen=True)
class HiddenRows:
    """Rows that no search returns, in rising order."""

    rows: IntArray

    @cached_property
    def _bits(self) -> Any:
        """uint8, one bit a row."""
        marks = np.zeros(int(self.rows[-1]) + 1, dtype=bool)
        marks[self.rows] = True
        return np.packbits(marks, bitorder="little")

    def selector(self, excluded: IntArray) -> RowSelector | None:
        """All rows but the hidden and the `excluded` ones; None: all rows."""
        if not len(self.rows) and not len(excluded):
            return None
        faiss, parts = import_faiss(), []
        if len(self.rows):
            hidden = faiss.IDSelectorBitmap(self._bits)
            parts += [hidden, faiss.IDSelectorNot(hidden)]
        if len(excluded):
            some = faiss.IDSelectorBatch(np.ascontiguousarray(excluded, dtype=np.int64))
            parts += [some, faiss.IDSelectorNot(some)]
        if len(parts) == 4:
            parts.append(faiss.IDSelectorAnd(parts[1], parts[3]))
        return RowSelector(parts[-1], (*parts, self._bits if len(self.rows) else None))


@dataclass(frozen=True)
class VectorIndex:
    """Rows in inverted lists. A version never changes: `with_rows` copies the lists."""

    lists: Any
    """faiss.IndexIVF with the ids of rows."""
    probes: int = 1
    """Lists that a query reads, the nearest first."""

    @classmethod
    def build(cls, rows_of: RowsOf, members: IntArray, num_lists: int, *, seed: int = 0) -> VectorIndex:
        """An index of the rows `members`; k-means looks at a random part of them."""
        faiss = import_faiss()
        rng = np.random.default_rng(seed)
        size = min(len(members), SAMPLE * num_lists)
        sample = rows_of(np.sort(rng.choice(members, size, replace=False)))
        width = sample.shape[1]
        lists = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatL2(width),
            width,
            num_lists,
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
        )
        lists.cp.niter, lists.cp.min_points_per_centroid, lists.cp.spherical = ROUNDS, 1, False
        lists.train(sample)
        index = cls(lists)
        index._add(rows_of, members)
        return index

    def __len__(self) -> int:
        return int(self.lists.ntotal)

    @property
    def num_lists(self) -> int:
        return int(self.lists.nlist)

    def with_probes(self, probes: int) -> VectorIndex:
        """The same lists, of which a query reads so many."""
        return replace(self, probes=min(probes, self.num_lists))

    def with_rows(self, rows: IntArray, rows_of: RowsOf, removed: IntArray) -> VectorIndex:
        """A copy in which these rows have other vectors, or are new, and the `removed` ones are gone."""
        faiss = import_faiss()
        copied = replace(self, lists=faiss.clone_index(self.lists))
        copied.lists.remove_ids(np.union1d(rows, removed).astype(np.int64))
        copied._add(rows_of, np.setdiff1d(rows, removed))
        return copied

    def _add(self, rows_of: RowsOf, members: IntArray) -> None:
        """A row goes to the list whose centre is nearest; a query reads those of largest inner product.

        Rows differ in length: by inner product alone the longest centres would draw most of them, and centres
        of one length would say nothing of the length of their rows.
        """
        faiss = import_faiss()
        self._use_centres(faiss.METRIC_L2)
        for start in range(0, len(members), BLOCK):
            some = np.ascontiguousarray(members[start : start + BLOCK], dtype=np.int64)
            self.lists.add_with_ids(rows_of(some), some)
        self._use_centres(faiss.METRIC_INNER_PRODUCT)

    def _use_centres(self, metric: int) -> None:
        """Let lists be chosen by this metric."""
        faiss = import_faiss()
        centres = faiss.IndexFlat(self.lists.d, metric)
        centres.add(self.lists.quantizer.reconstruct_n(0, self.num_lists))
        self.lists.quantizer, self.lists.own_fields = centres, False
        self.lists.referenced_objects = [centres]  # faiss itself holds no reference

    def search(
        self, query_D: FloatArray, count: int, hidden: HiddenRows, excluded: IntArray = NO_ROWS
    ) -> IntArray:
        """The at most `count` rows of largest inner product in the lists read, none hidden or excluded.

        Those are passed over while the lists are read: they take nobody's place.
        """
        parameters = import_faiss().SearchParametersIVF(nprobe=self.probes)
        selector = hidden.selector(excluded)
        if selector is not None:
            parameters.sel = selector.root
        query_1D = np.ascontiguousarray(query_D[None], dtype=np.float32)
        rows = self.lists.search(query_1D, min(count, max(len(self), 1)), params=parameters)[1][0]
        return np.asarray(rows[rows >= 0], dtype=np.int64)

    def to_bytes(self) -> Any:
        """[bytes] uint8, as `from_bytes` reads it."""
        return import_faiss().serialize_index(self.lists)

    @classmethod
    def from_bytes(cls, data: Any, probes: int) -> VectorIndex:
        return cls(import_faiss().deserialize_index(data), probes)
