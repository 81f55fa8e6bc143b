"""Score sources over a catalogue that has changed since they were made in training."""

# I items, N changed at once, F width of the text block

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.features.item_graph import ItemGraph, user_item_matrix
from unimp.features.row_scores import RowScores, met_items, weighted_rows
from unimp.features.text import WORD, TermWeights, WordMatch, divided_rows, row_norms

MAX_PARTS = 16
"""Changes of the words that are searched one by one before they are merged."""


class ExtendedWordMatch(WordMatch):
    """The trained catalogue's words, and over them those of changed items.

    A word that training did not know counts as one that a single item has. It adds to an item's likeness and
    takes nothing from that of its other words, as a trained item's rare words do not count either; where a
    query holds both kinds, the likeness can thus exceed 1, by less than half.
    """

    def __init__(
        self,
        trained: WordMatch,
        parts: Sequence[tuple[IntArray, Any]] = (),
        new_words: Mapping[str, int] | None = None,
    ) -> None:
        """`parts`: rows, and [N, words] as `item_rows` gives them; a later part replaces an earlier one.
        `new_words`: column of each word that training did not know, behind those of training."""
        super().__init__(trained.projector, trained.catalog)
        self.trained, self.parts = trained, tuple(parts)
        words = dict(new_words or {})
        rarest = np.full(len(words), np.log(max(2, len(trained.catalog))), dtype=np.float32)
        self.new_words = TermWeights(words, rarest)

    def with_items(self, rows: IntArray, terms: list[list[str]]) -> ExtendedWordMatch:
        """The match with other words for these rows, each named once."""
        known, words = self.projector.vocabulary, dict(self.new_words.vocabulary)
        for term in dict.fromkeys(term for item in terms for term in item):
            if term not in known and WORD.fullmatch(term):
                words.setdefault(term, len(words))
        grown = ExtendedWordMatch(self.trained, self.parts, words)
        parts = [*self.parts, (rows, grown.item_rows(terms))]
        if len(parts) > MAX_PARTS:
            together = np.concatenate([part[0] for part in parts])
            latest = len(together) - 1 - np.unique(together[::-1], return_index=True)[1]
            parts = [
                (together[latest], sp.vstack([grown.widened(part[1]) for part in parts]).tocsr()[latest])
            ]
        return ExtendedWordMatch(self.trained, parts, words)

    def item_rows(self, terms: list[list[str]]) -> Any:
        """[N, words] CSR: the unit row of the known words, and the new words' part of the whole unit row."""
        known, new = self.projector.term_weights.weigh(terms), self.new_words.weigh(terms)
        norms = row_norms(known)
        whole = np.hypot(norms, row_norms(new))
        return sp.hstack((divided_rows(known, norms), divided_rows(new, whole))).tocsr()

    def query_rows(self, texts: Sequence[str]) -> tuple[Any, FloatArray]:
        """[N, words] CSR of unit rows, and [N] the length of their part that training knew."""
        terms = [WORD.findall(text.lower()) for text in texts]
        known, new = self.projector.term_weights.weigh(terms), self.new_words.weigh(terms)
        norms = row_norms(known)
        whole = np.hypot(norms, row_norms(new))
        rows = sp.hstack((divided_rows(known, whole), divided_rows(new, whole))).tocsr()
        return rows, np.asarray(norms / np.maximum(whole, 1e-9), dtype=np.float32)

    def widened(self, words: Any) -> Any:
        """The rows of an earlier part with the columns of words that came later."""
        width = len(self.projector.vocabulary) + len(self.new_words.vocabulary)
        return sp.csr_matrix((words.data, words.indices, words.indptr), shape=(words.shape[0], width))

    def score(self, texts: Sequence[str]) -> FloatArray:
        scores = self.trained.score(texts)
        if not self.parts:
            return scores
        query, known_N = self.query_rows(texts)
        num_items = 1 + max(int(rows.max()) for rows, _ in self.parts)
        scores = padded(scores * known_N[:, None], max(num_items, scores.shape[1]))
        for rows, words in self.parts:
            scores[:, rows] = (query @ self.widened(words).T).toarray()
        return scores

    def nearest(self, text: str, most: int) -> IntArray:
        query, _ = self.query_rows([text])
        found = [self.trained.nearest(text, most)]
        for rows, words in self.parts:
            scores = (query @ self.widened(words).T).toarray()[0]
            best = np.argsort(-scores)[:most]
            found.append(rows[best[scores[best] > 0]])
        return np.unique(np.concatenate(found))

    def score_rows(self, text: str, rows: IntArray) -> FloatArray:
        query, known_N = self.query_rows([text])
        known = np.minimum(rows, self.trained.items_WI.shape[1] - 1)
        scores = np.where(known == rows, known_N * self.trained.score_rows(text, known), np.float32(0))
        for changed, words in self.parts:
            place = np.argsort(changed)
            found = place[np.minimum(np.searchsorted(changed, rows, sorter=place), len(changed) - 1)]
            own = changed[found] == rows
            scores[own] = (query @ self.widened(words)[found[own]].T).toarray()[0]
        return np.asarray(scores, dtype=np.float32)


@dataclass(frozen=True)
class ExtendedGraph(ItemGraph):
    """A graph of the log: it says nothing about items that the log did not hold."""

    num_rows: int

    def score(self, histories: Histories, recency: float = 1.0) -> FloatArray:
        known = self.weights.shape[0]
        if self.num_rows == known:
            return super().score(histories, recency)
        users = user_item_matrix(histories, self.num_rows, recency)[:, :known]
        scores = users @ self.weights
        dense = scores if isinstance(scores, np.ndarray) else scores.toarray()
        return padded(np.asarray(dense, dtype=np.float32), self.num_rows)


@dataclass(frozen=True)
class ExtendedContentGraph(ItemGraph):
    """Likeness of content: of training among unchanged items, computed anew where an item changed."""

    content_IF: FloatArray
    changed_rows: IntArray
    """In rising order."""
    threshold: float
    neighbours: int
    _found: dict[int, RowScores] = field(default_factory=dict, repr=False)

    def score(self, histories: Histories, recency: float = 1.0) -> FloatArray:
        changed, num_rows = self.changed_rows, len(self.content_IF)
        if not len(changed):
            return super().score(histories, recency)
        known = self.weights.shape[0]
        users = user_item_matrix(histories, num_rows, recency)
        old = users[:, :known].tocsc(copy=True)
        for row in changed[changed < known].tolist():
            old.data[old.indptr[row] : old.indptr[row + 1]] = 0.0
        scores = padded((old @ self.weights).toarray(), num_rows)
        scores[:, changed] = 0.0
        met = np.unique(histories.item_rows)
        scores[:, changed] += users[:, met] @ self._likeness(met, changed)
        met_changed = met[np.isin(met, changed)]
        if len(met_changed):
            near = self._nearest(met_changed)
            near[:, changed] = 0.0
            scores += users[:, met_changed] @ near
        return np.asarray(scores, dtype=np.float32)

    def related(self, histories: Histories, recency: float = 1.0) -> RowScores:
        changed = self.changed_rows
        if not len(changed):
            return super().related(histories, recency)
        met, weights = met_items(histories, recency)
        is_changed = np.isin(met, changed)
        old = weighted_rows(self.weights, met[~is_changed], weights[~is_changed])
        stays = np.isin(old.rows, changed, invert=True)
        near = weights @ self._likeness(met, changed)
        close = np.flatnonzero(near)
        parts = [RowScores(old.rows[stays], old.scores[stays]), RowScores(changed[close], near[close])]
        for row, weight in zip(met[is_changed].tolist(), weights[is_changed].tolist(), strict=True):
            own = self._nearest_of(row)
            others = np.isin(own.rows, changed, invert=True)
            parts.append(RowScores(own.rows[others], np.float32(weight) * own.scores[others]))
        rows = np.concatenate([part.rows for part in parts])
        return RowScores.summed(rows, np.concatenate([part.scores for part in parts]))

    def _nearest_of(self, row: int) -> RowScores:
        """The nearest of a changed item, computed when a history first has it."""
        if row not in self._found:
            near = self._nearest(np.array([row]))[0]
            rows = np.flatnonzero(near)
            self._found[row] = RowScores(rows, near[rows])
        return self._found[row]

    def _likeness(self, rows: IntArray, others: IntArray) -> FloatArray:
        """[len(rows), len(others)] the cosine above the threshold, 0 of an item with itself."""
        close = self.content_IF[rows] @ self.content_IF[others].T - np.float32(self.threshold)
        close[rows[:, None] == others[None]] = 0.0
        return np.asarray(np.maximum(close, 0.0), dtype=np.float32)

    def _nearest(self, rows: IntArray) -> FloatArray:
        """[len(rows), I] the likeness of the nearest `neighbours` of each, else 0."""
        near = self._likeness(rows, np.arange(len(self.content_IF)))
        if self.neighbours < near.shape[1]:
            least = -np.partition(-near, self.neighbours - 1, axis=1)[:, self.neighbours - 1]
            near[near < least[:, None]] = 0.0
        return near


def padded(scores: FloatArray, num_items: int) -> FloatArray:
    """[U, num_items] zeros at the end."""
    wide = np.zeros((len(scores), num_items), dtype=np.float32)
    wide[:, : scores.shape[1]] = scores
    return wide
