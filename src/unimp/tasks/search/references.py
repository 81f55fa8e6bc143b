"""Search by words alone, the same for every user: BM25, and dense retrieval by latent semantic analysis."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import Field

from unimp.answer import Query
from unimp.core.config import Config
from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray, Histories
from unimp.features.text import WORD, TextProjector, fit_text


class Bm25Config(Config):
    """The two constants of BM25, at their usual values."""

    k1: float = Field(1.5, ge=0)
    """How slowly repeated words stop counting."""
    b: float = Field(0.75, ge=0, le=1)
    """How much long texts are held back."""


def item_words(catalog: Catalog) -> list[list[str]]:
    """[I] the lower-case words of every attribute that is not a number, the title included."""
    words: list[list[str]] = [[] for _ in range(len(catalog))]
    for attribute in catalog.attributes:
        if attribute.kind != "number":
            for own, text in zip(words, catalog.texts[attribute.name], strict=True):
                own.extend(WORD.findall((text or "").lower()))
    return words


@dataclass(frozen=True)
class Bm25:
    """BM25 (Robertson et al. 1994, Lucene's form) over the items' words; a query without words gets zeros."""

    num_items: int
    index: Any = field(repr=False)
    """bm25s index."""

    @classmethod
    def fit(cls, catalog: Catalog, config: Bm25Config | None = None) -> Bm25:
        """DataError when no item has a word."""
        import bm25s

        config, words = config or Bm25Config(), item_words(catalog)
        if not any(words):
            raise DataError("BM25: no item has a word; a catalogue of ids alone cannot be searched by words")
        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it tells of every index on standard error
        index = bm25s.BM25(k1=config.k1, b=config.b)
        index.index(words, show_progress=False)
        return cls(len(catalog), index)

    def search(self, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        """[U, num_items], see `Searcher`."""
        scores = np.zeros((len(queries), self.num_items), dtype=np.float32)
        for row, query in zip(scores, queries, strict=True):
            words = WORD.findall(query.text.lower())
            if words:
                row[:] = self.index.get_scores(words)
        return scores


@dataclass(frozen=True)
class DenseText:
    """Cosine of the latent semantic vectors of query and items; zeros for a query without a known word."""

    projector: TextProjector
    items: FloatArray
    """[I, F] unit rows, zeros for items without a known word."""

    @classmethod
    def fit(cls, catalog: Catalog, dimensions: int = 128) -> DenseText:
        """DataError when the catalogue has no word that two items share."""
        projector = fit_text(catalog, dimensions)
        if projector is None:
            raise DataError("dense text: no word is in two items; it needs titles or values")
        return cls(projector, projector.project(catalog))

    def search(self, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        """[U, num_items], see `Searcher`."""
        return np.asarray(self.projector.project_texts([query.text for query in queries]) @ self.items.T)
