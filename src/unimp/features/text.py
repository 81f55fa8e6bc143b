"""Item text in closed form: TF-IDF, reduced by latent semantic analysis."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from unimp.core.config import Config
from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import FloatArray, IntArray
from unimp.features.row_scores import RowScores

WORD = re.compile(r"[^\W_]+")


class ContentConfig(Config):
    """The content part of an item's vector, added to its identity vector."""

    removed_keys: ClassVar[dict[str, Any]] = {"log": 0}

    text: int = Field(128, ge=0)
    """Dimensions of the text content (TF-IDF reduced by SVD); 0 leaves it out."""
    encoder: str = ""
    """A pretrained sentence encoder beside TF-IDF: `package:minilm-l6`, a folder, or a hub id."""
    encoder_width: int = Field(0, ge=0)
    """Principal components of that encoder's vectors that are used; 0: the vectors as they are."""
    picture: bool = True
    """Use the pooled picture as a part of the content, where the recipe reads pictures."""


@dataclass(frozen=True)
class TermWeights:
    """TF-IDF (Salton & Buckley 1988): (1 + log count) times how rare a term is."""

    vocabulary: dict[str, int]
    """Term -> column."""
    idf: FloatArray
    """[W] log(documents / documents with the term)."""

    def weigh(self, terms: list[list[str]]) -> Any:
        """[len(terms), W] CSR; terms that the vocabulary lacks count nothing."""
        rows = term_matrix(terms, self.vocabulary)
        rows.data *= self.idf[rows.indices]
        return rows

    def unit(self, terms: list[list[str]]) -> Any:
        """[len(terms), W] CSR of unit rows, or empty ones."""
        rows = self.weigh(terms)
        return divided_rows(rows, row_norms(rows))


@dataclass(frozen=True)
class TextProjector:
    """TF-IDF, then truncated SVD (Deerwester et al. 1990), fitted on a catalogue."""

    vocabulary: dict[str, int]
    idf: FloatArray
    components: FloatArray
    """[words, F]."""

    def project(
        self,
        catalog: Catalog,
        rows: Sequence[int] | None = None,
        attributes: Sequence[Attribute] | None = None,
    ) -> FloatArray:
        """[I, F] unit-length rows; an item without a known word is all zeros. All items and attributes, or
        those given."""
        return self.project_terms(item_terms(catalog, rows, attributes))

    def project_texts(self, texts: Sequence[str]) -> FloatArray:
        """[len(texts), F] unit-length rows in the same space; a text without a known word is all zeros."""
        return self.project_terms([WORD.findall(text.lower()) for text in texts])

    def project_terms(self, terms: list[list[str]]) -> FloatArray:
        """[len(terms), F] unit-length rows, or zeros."""
        weights = self.term_weights.weigh(terms)
        return unit_rows(np.asarray(weights @ self.components, dtype=np.float32))

    @property
    def term_weights(self) -> TermWeights:
        return TermWeights(self.vocabulary, self.idf)


class WordMatch:
    """TF-IDF cosine of free texts and the items' texts, every word by itself (no reduction)."""

    def __init__(self, projector: TextProjector, catalog: Catalog) -> None:
        self.projector, self.catalog = projector, catalog

    @cached_property
    def items_WI(self) -> Any:
        """[words, I] unit columns in rising order, computed when they are first needed."""
        return self.unit_rows(item_terms(self.catalog)).T.tocsr()

    def unit_rows(self, terms: list[list[str]]) -> Any:
        """[len(terms), words] CSR of unit rows, or empty ones."""
        return self.projector.term_weights.unit(terms)

    def score(self, texts: Sequence[str]) -> FloatArray:
        """[N, I] in [0, 1]; zeros for a text without a known word."""
        unit = self.unit_rows([WORD.findall(text.lower()) for text in texts])
        return np.asarray((unit @ self.items_WI).toarray(), dtype=np.float32)

    def nearest(self, text: str, most: int) -> IntArray:
        """Rows of items with the text's words, some `most` of every word that more items have."""
        unit = self.unit_rows([WORD.findall(text.lower())])
        found = [self._postings(word) for word in unit.indices.tolist()]
        best = [RowScores(rows, values).best(most) for rows, values in found]
        return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *best]))

    def score_rows(self, text: str, rows: IntArray) -> FloatArray:
        """[len(rows)] what `score` gives these items."""
        unit = self.unit_rows([WORD.findall(text.lower())])
        sums = np.zeros(len(rows), dtype=np.float32)
        for word, weight in zip(unit.indices.tolist(), unit.data.tolist(), strict=True):
            sums += np.float32(weight) * RowScores(*self._postings(word)).at(rows)
        return sums

    def _postings(self, word: int) -> tuple[IntArray, FloatArray]:
        """The rows of the items that have the word, rising, and its weight in each."""
        part = slice(self.items_WI.indptr[word], self.items_WI.indptr[word + 1])
        return self.items_WI.indices[part], self.items_WI.data[part]


def item_terms(
    catalog: Catalog, rows: Sequence[int] | None = None, attributes: Sequence[Attribute] | None = None
) -> list[list[str]]:
    """Each item's words, and each category value once more as a whole (`brand=opi`).

    All of the catalogue's items and attributes, or those given.
    """
    chosen = range(len(catalog)) if rows is None else rows
    terms: list[list[str]] = [[] for _ in chosen]
    for attribute in catalog.attributes if attributes is None else attributes:
        texts = catalog.texts[attribute.name]
        for item, row in zip(terms, chosen, strict=True):
            text = texts[row]
            if text is None or attribute.kind == "number":
                continue
            item.extend(WORD.findall(text.lower()))
            if attribute.kind == "category":
                item.append(f"{attribute.name}={text.lower()}")
            elif attribute.kind == "categories":
                values = catalog.terms(attribute.name, row)
                item.extend(f"{attribute.name}={value.lower()}" for value in values)
    return terms


def term_matrix(terms: list[list[str]], vocabulary: dict[str, int]) -> Any:
    """[I, words] 1 + log(count), CSR."""
    owners, words = [], []
    for row, item in enumerate(terms):
        known = [vocabulary[term] for term in item if term in vocabulary]
        owners.extend([row] * len(known))
        words.extend(known)
    counts: Any = sp.coo_matrix(
        (
            np.ones(len(words), dtype=np.float32),
            (np.array(owners, dtype=np.int64), np.array(words, dtype=np.int64)),
        ),
        shape=(len(terms), len(vocabulary)),
    ).tocsr()
    counts.data = 1.0 + np.log(counts.data)
    return counts


def row_norms(rows: Any) -> FloatArray:
    """[N] lengths of the rows of a CSR matrix."""
    owners = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    return np.sqrt(np.bincount(owners, weights=rows.data**2, minlength=rows.shape[0]))


def divided_rows(rows: Any, norms_N: FloatArray) -> Any:
    """The CSR matrix, changed: each row divided by its number; one of 0 belongs to an empty row."""
    rows.data /= np.repeat(np.maximum(norms_N, 1e-9), np.diff(rows.indptr))
    return rows


def fit_text(catalog: Catalog, dimensions: int) -> TextProjector | None:
    """None when the catalogue has no word that two items share."""
    terms = item_terms(catalog)
    frequency: dict[str, int] = {}
    for item in terms:
        for term in set(item):
            frequency[term] = frequency.get(term, 0) + 1
    shared = sorted(term for term, count in frequency.items() if 2 <= count < len(catalog))
    dimensions = min(dimensions, len(shared) - 1, len(catalog) - 1)
    if dimensions < 1:
        return None
    vocabulary = {term: column for column, term in enumerate(shared)}
    idf = np.log(len(catalog) / np.array([frequency[term] for term in shared])).astype(np.float32)
    weights = TermWeights(vocabulary, idf).weigh(terms)
    norms = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)).ravel())
    scaled = sp.diags(1.0 / np.maximum(norms, 1e-9)) @ weights
    return TextProjector(vocabulary, idf, right_factors(scaled, dimensions))


def right_factors(matrix: Any, dimensions: int) -> FloatArray:
    """[columns, F] leading right singular vectors, largest first, the largest entry of each positive.

    Of equal singular values any basis is as good, and another processor may return another one.
    """
    from scipy.sparse.linalg import svds  # answering needs none of it, and it takes a while to import

    start = np.random.default_rng(0).standard_normal(min(matrix.shape))
    _, _, right = svds(matrix.astype(np.float64), k=dimensions, v0=start)
    right = right[::-1]
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    return np.ascontiguousarray((right * signs[:, None]).T, dtype=np.float32)


def unit_rows(matrix: FloatArray) -> FloatArray:
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.maximum(norms, 1e-9), dtype=np.float32)
