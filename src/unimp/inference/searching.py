"""Search: a query at the end of the history, in words, a picture or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Protocol

import numpy as np
from torch import Tensor

from unimp.answer import Query
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.inference.candidates import MOST_RELATED, CandidateSearch
from unimp.inference.decoder import Decoder
from unimp.inference.model_scores import (
    direction,
    hidden_behind,
    log_probabilities_at,
    logits_of,
    popularity_weight,
)
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.score_sources import CROSS_MODAL, FusionWeights, ScoreSources
from unimp.inference.scored_rows import ScoredRows, best_of_candidates, best_rows
from unimp.inference.vector_index import NO_ROWS
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import Template

SAME_PICTURE = 0.9995
"""Cosine of two pictures' vectors from which on they are one picture, read again."""
LIKE_PICTURES = 32.0
"""Weight of the likeness to a catalogue picture that was shown; the middle of what validation tries."""


class QueryQuestion(Protocol):
    """The same with a query; satisfied by `SearchTask`."""

    name: ClassVar[str]
    words: ClassVar[str]
    template: Template

    def question(
        self, histories: Histories, user: int, query: Query, *, known: int | None = None
    ) -> UserSentence:
        """The sentence after which the item comes that answers the query."""


@dataclass
class ModelSearcher(Decoder):
    """Ranking with a query at the end of the history (satisfies `Searcher`)."""

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    task: QueryQuestion
    sources: ScoreSources
    fusion_weights: FusionWeights = field(default_factory=FusionWeights)
    cache: PrefixCache | None = None
    """Of the users that `Histories.user_ids` names; None reads every history anew."""

    def hidden(self, histories: Histories, queries: Sequence[Query]) -> Tensor:
        """[U, D] where each user's answer begins."""
        writes = [partial(self.task.question, histories, user, query) for user, query in enumerate(queries)]
        return hidden_behind(self, histories, writes)

    def log_probabilities(self, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        """[U, I] the model alone."""
        return log_probabilities_at(self.model, self.state, self.hidden(histories, queries))

    def best(
        self,
        histories: Histories,
        queries: Sequence[Query],
        counts: Sequence[int],
        exclude_history: Sequence[bool | None],
    ) -> list[ScoredRows]:
        """[U] the best items of each query, as `ModelRanker.best`.

        A picture alone that is one of the catalogue's brings its own item first, see `lift_same_picture`.
        """
        search = self.sources.nearest
        if search is None:
            scores_UI = self.search(histories, queries)
            for scores_I, query in zip(scores_UI, queries, strict=True):
                if query.has_picture and not query.text:
                    self.lift_same_picture(scores_I, query.picture_row)
            return best_rows(scores_UI, histories, counts, exclude_history, self.sources.new_ids)
        hidden_UD = self.hidden(histories, queries)
        asked = zip(queries, counts, exclude_history, strict=True)
        return [
            self._best_near(search, hidden_UD[user], histories.slice(user, user + 1), *request)
            for user, request in enumerate(asked)
        ]

    def _best_near(
        self,
        search: CandidateSearch,
        hidden_D: Tensor,
        history: Histories,
        query: Query,
        count: int,
        exclude: bool | None,
    ) -> ScoredRows:
        shares, pictures_XD = self.fusion_weights.shares, self.sources.pictures
        related = self.sources.related(shares, history)
        own = history.items_of(0)
        proposals = [own, *(found.best(MOST_RELATED) for found in related.values())]
        if self.sources.words is not None and query.text:
            proposals.append(self.sources.words.nearest(query.text, MOST_RELATED))
        if self.sources.cross_modal is not None and query.text and CROSS_MODAL in shares:
            proposals.append(self.sources.cross_modal.nearest(query.text, MOST_RELATED))
        if pictures_XD is not None and query.has_picture:
            proposals.append(search.like_picture(pictures_XD[query.picture_row], count))
        query_D = search.query(direction(self.model, hidden_D), popularity_weight(shares))
        rows = search.candidates(query_D, count, own if exclude else NO_ROWS, proposals)
        scores = logits_of(self.model, self.state, hidden_D, rows)
        for name, share in shares.items():
            scores = scores + self.sources.score_rows(name, share, rows, related, query)
        if query.has_picture and not query.text:
            self.lift_same_picture(scores, query.picture_row, rows)
        if exclude:
            scores[np.isin(rows, own)] = -np.inf
        return best_of_candidates(rows, scores, count, self.sources.new_ids)

    def lift_same_picture(self, scores_N: FloatArray, shown: int, rows: IntArray | None = None) -> None:
        """Put the item first whose own picture is the one in row `shown`; see `lift_same_picture`.

        Pixels know a picture again that was cropped or compressed. Where none is the same, it is the nearest
        by descriptors, however near.
        """
        least = -1.0 if self.model.described_pictures else SAME_PICTURE
        found = self.sources.same_picture(shown, rows)
        lift_same_picture(scores_N, self.sources.pictures, shown, rows, least, found)

    def search(self, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        """[U, I], higher is better."""
        scores = self.mixed(self.log_probabilities(histories, queries), histories, queries)
        return self.sources.hide_removed(scores)

    def mixed(self, scores: FloatArray, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        """[U, I] the model's log-probabilities with the sources' shares, in place."""
        for name, share in self.fusion_weights.shares.items():
            scores += self.sources.score(name, share, histories, queries)
        return scores


def lift_same_picture(
    scores_N: FloatArray,
    pictures_XD: FloatArray | None,
    shown: int,
    rows: IntArray | None = None,
    least: float = SAME_PICTURE,
    known: IntArray = NO_ROWS,
) -> None:
    """Where the picture in row `shown` is one of the catalogue's, put its item first, like items after it.

    Whoever shows an item's own picture asks for that item, whatever share validation gave to likeness.
    In place; several items with the same picture come together. `rows`: [N] of the items that are scored;
    None: the whole catalogue. `least`: cosine from which on two pictures are one; not asked where items
    are `known` by their rows to have the picture.
    """
    if pictures_XD is None:
        return
    pictures_ND = pictures_XD[: len(scores_N)] if rows is None else pictures_XD[rows]
    likeness = pictures_ND @ pictures_XD[shown]
    nearest = float(likeness.max(initial=-1.0))
    if not len(known) and nearest < least:
        return
    same = likeness >= nearest - 1e-5
    if len(known):
        same = np.isin(np.arange(len(scores_N)) if rows is None else rows, known)
    same &= np.isfinite(scores_N)  # what is hidden stays hidden
    if not same.any():
        return
    scores_N += np.float32(LIKE_PICTURES) * likeness
    scores_N[same] += scores_N.max() - scores_N[same].min() + 1.0
