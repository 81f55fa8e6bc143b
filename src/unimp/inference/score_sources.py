"""What is mixed into the model's scores: the log's structure, likeness of content, popularity, the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from unimp.answer import Query
from unimp.core.config import Config
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.features.cross_modal import CrossModalMatch
from unimp.features.item_graph import ItemGraph
from unimp.features.photo_match import PhotoMatch
from unimp.features.row_scores import RowScores
from unimp.features.text import WordMatch
from unimp.inference.candidates import CandidateSearch

POPULARITY, WORDS, PICTURE, CROSS_MODAL = "popularity", "words", "picture", "cross_modal"


class SourceWeight(Config):
    """What one source of scores counts beside the model's log-probability."""

    weight: float
    """Factor of its score."""
    recency: float = 1.0
    """Each step back in the history counts this much less."""
    centre: float = 0.0
    """Score at which the source adds nothing (where it is not a constant away from any other)."""


class FusionWeights(Config):
    """Shares by source: a graph's name, `popularity`; `words`, `picture` and `cross_modal` of a query; for
    ratings `factors` and `taste`."""

    shares: dict[str, SourceWeight] = Field(default_factory=dict)


@dataclass(frozen=True)
class ScoreSources:
    """Scores of items that no gradient made."""

    popularity: FloatArray
    """[I] training events of every item."""
    graphs: Mapping[str, ItemGraph] = field(default_factory=dict)
    """Item–item scores by name: `log`, `content`."""
    words: WordMatch | None = None
    """Likeness of a query's words and an item's text."""
    pictures: FloatArray | None = None
    """[I (+ X), D] unit vectors of pictures, zeros where there is none."""
    removed: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Rows of items that must not be answered with any more."""
    nearest: CandidateSearch | None = None
    """Proposes the items that are scored at all; None: all of them."""
    new_ids: Mapping[int, str] = field(default_factory=dict)
    """Row -> id of the items that training did not know: their rows do not order equals."""
    photos: PhotoMatch | None = None
    """Knows pictures of the catalogue again; it shows those that follow the catalogue's in `pictures`."""
    cross_modal: CrossModalMatch | None = None
    """Likeness of a query's words and an item's picture."""

    def hide_removed(self, scores_UI: FloatArray) -> FloatArray:
        """-inf for items that were removed, in place."""
        if len(self.removed):
            scores_UI[:, self.removed] = -np.inf
        return scores_UI

    def same_picture(self, picture_row: int, rows: IntArray | None = None) -> IntArray:
        """Rows of the items whose own picture is the one shown, cropped or compressed; empty where none is.

        `rows`: the items to look at; None: all.
        """
        number = picture_row - len(self.popularity)
        if self.photos is None or not 0 <= number < len(self.photos.shown):
            return np.empty(0, dtype=np.int64)
        return self.photos.find(number, rows)

    def names(self, queries: Sequence[Query] | None) -> list[str]:
        """The sources that can say something; those of queries only when there are any."""
        asked, last = [], []
        if queries is not None:
            asked = [WORDS] if self.words is not None else []
            if self.pictures is not None and any(query.picture_row >= 0 for query in queries):
                asked.append(PICTURE)
            if self.cross_modal is not None and any(query.text for query in queries):
                last.append(CROSS_MODAL)  # behind the others: where it adds nothing, it changes nothing
        return [*asked, *self.graphs, POPULARITY, *last]

    def score(
        self, name: str, share: SourceWeight, histories: Histories, queries: Sequence[Query] | None = None
    ) -> FloatArray:
        """[U, I] (or [1, I], the same for all) what one source adds."""
        weight = np.float32(share.weight)
        if name == POPULARITY:
            return np.asarray(weight * np.log1p(self.popularity)[None], dtype=np.float32)
        if name == WORDS and self.words is not None and queries is not None:
            return weight * self.words.score([query.text for query in queries])
        if name == CROSS_MODAL and self.cross_modal is not None and queries is not None:
            return weight * self.cross_modal.score([query.text for query in queries])
        if name == PICTURE and self.pictures is not None and queries is not None:
            rows = np.array([query.picture_row for query in queries])
            shown = self.pictures[np.maximum(rows, 0)] * (rows >= 0)[:, None]
            return np.asarray(weight * shown @ self.pictures[: len(self.popularity)].T, dtype=np.float32)
        if name in self.graphs:
            return weight * self.graphs[name].score(histories, share.recency)
        return np.zeros((1, len(self.popularity)), dtype=np.float32)

    def related(self, shares: Mapping[str, SourceWeight], histories: Histories) -> dict[str, RowScores]:
        """By graph, the scores of the items that it relates to one user's, before their weights."""
        return {
            name: self.graphs[name].related(histories, share.recency)
            for name, share in shares.items()
            if name in self.graphs and share.weight
        }

    def score_rows(
        self,
        name: str,
        share: SourceWeight,
        rows: IntArray,
        related: Mapping[str, RowScores],
        query: Query | None = None,
    ) -> FloatArray:
        """[len(rows)] what `score` gives these items for one user."""
        weight = np.float32(share.weight)
        if name == POPULARITY:
            return np.asarray(weight * np.log1p(self.popularity[rows]), dtype=np.float32)
        if name == WORDS and self.words is not None and query is not None:
            return weight * self.words.score_rows(query.text, rows)
        if name == CROSS_MODAL and self.cross_modal is not None and query is not None:
            return weight * self.cross_modal.score_rows(query.text, rows)
        if name == PICTURE and self.pictures is not None and query is not None and query.has_picture:
            shown = self.pictures[query.picture_row]
            return np.asarray(weight * (self.pictures[rows] @ shown), dtype=np.float32)
        if name in related:
            return weight * related[name].at(rows)
        return np.zeros(len(rows), dtype=np.float32)
