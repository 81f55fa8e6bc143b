"""Ranking: one forward pass and one matrix product score every item of the catalogue, or of a large one the
candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from unimp.answer import Query
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.inference.candidates import MOST_RELATED, CandidateSearch
from unimp.inference.decoder import Decoder
from unimp.inference.prefix import HistoryKey
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.reading import DeferredSentence, Write, hidden_after, hidden_at_end
from unimp.inference.score_sources import POPULARITY, FusionWeights, ScoreSources, SourceWeight
from unimp.inference.scored_rows import ScoredRows, best_of_candidates, best_rows
from unimp.inference.second_stage import SecondStage, with_unknown
from unimp.inference.vector_index import NO_ROWS
from unimp.metrics.ranking import mask_history
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import Template

COLD_SHARE = 1e-3
"""What the model's log-probability counts beside log popularity when there is no history and no query."""

SAME_PICTURE = 0.9995
"""Cosine of two pictures' vectors from which on they are one picture, read again."""
LIKE_PICTURES = 32.0
"""Weight of the likeness to a catalogue picture that was shown; the middle of what validation tries."""


class NextItemQuestion(Protocol):
    """The task whose question an item answers; satisfied by `RecommendationTask`."""

    name: ClassVar[str]
    words: ClassVar[str]
    template: Template

    def question(self, histories: Histories, user: int, *, known: int | None = None) -> UserSentence:
        """The sentence after which the next item comes; `known` as in `Task.begin_question`."""


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
class ModelRanker(Decoder):
    """Scores of UniMP: log p(item | sentence) + Σ weight · score of a source (satisfies `Ranker`).

    The mixture is that of nearest-neighbour language models (Khandelwal et al. 2020), in the logits.
    """

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    task: NextItemQuestion
    sources: ScoreSources
    fusion_weights: FusionWeights = field(default_factory=FusionWeights)
    cache: PrefixCache | None = None
    """Of the users that `Histories.user_ids` names; None reads every history anew."""
    second_stage: SecondStage | None = None
    """Orders users with a history in the end; None: the mixture does."""

    def hidden(self, histories: Histories) -> Tensor:
        """[U, D] where each user's answer begins."""
        writes = [partial(self.task.question, histories, user) for user in range(len(histories))]
        return hidden_behind(self, histories, writes)

    def log_probabilities(self, histories: Histories) -> FloatArray:
        """[U, I] the model alone."""
        return log_probabilities_at(self.model, self.state, self.hidden(histories))

    def score(self, histories: Histories) -> FloatArray:
        """[U, I], higher is better; without a history popularity decides, the model among equals."""
        stage = self.second_stage
        return self.ordered(histories, exclude=stage is not None and stage.exclude_history)

    def ordered(self, histories: Histories, *, exclude: bool) -> FloatArray:
        """[U, I] as `score`; with `exclude` a user's own items take no place among a second stage's first."""
        alone, stage = self.log_probabilities(histories), self.second_stage
        known = np.flatnonzero(histories.lengths)
        if stage is None or not len(known):
            return self.sources.hide_removed(self.mixed(alone, histories))
        log_p_UN = alone[known, : stage.num_items]
        scores_UI = self.sources.hide_removed(self.mixed(alone, histories))
        some, closed_UI = histories.select(known), scores_UI[known]
        if exclude:
            mask_history(closed_UI, some)
        staged_UN = stage.score(some, log_p_UN, self.sources.removed, exclude=exclude)
        scores_UI[known] = with_unknown(staged_UN, closed_UI)
        return self.sources.hide_removed(scores_UI)

    def reasons(self, history: Histories, item_row: int, most: int = 3) -> tuple[str, ...]:
        """Relations of one user's history to an item that the second stage ranks it by; none without one."""
        stage = self.second_stage
        if stage is None or not history.num_events or item_row >= stage.num_items:
            return ()
        log_p_N = self.log_probabilities(history)[0, : stage.num_items]
        return tuple(stage.reasons(history, log_p_N, item_row)[:most])

    def mixed_score(self, histories: Histories) -> FloatArray:
        """[U, I] the model with the sources' shares, whatever comes after."""
        return self.sources.hide_removed(self.mixed(self.log_probabilities(histories), histories))

    def best(
        self, histories: Histories, counts: Sequence[int], exclude_history: Sequence[bool | None]
    ) -> list[ScoredRows]:
        """[U] each user's best items; where asked, without those of the history.

        Of a large catalogue only candidates are scored, without the model's normaliser over all items.
        """
        search = self.sources.nearest
        if search is None:
            scores_UI = np.empty((len(histories), len(self.sources.popularity)), dtype=np.float32)
            staged = self.second_stage is not None  # nothing else ranks with the history in mind
            excluded_U = np.array([staged and bool(excluded) for excluded in exclude_history])
            for exclude in np.unique(excluded_U):
                users = np.flatnonzero(excluded_U == exclude)
                scores_UI[users] = self.ordered(histories.select(users), exclude=bool(exclude))
            return best_rows(scores_UI, histories, counts, exclude_history, self.sources.new_ids)
        hidden_UD = self.hidden(histories)
        return [
            self._best_near(search, hidden_UD[user], histories.slice(user, user + 1), count, bool(excluded))
            for user, (count, excluded) in enumerate(zip(counts, exclude_history, strict=True))
        ]

    def _best_near(
        self, search: CandidateSearch, hidden_D: Tensor, history: Histories, count: int, exclude: bool
    ) -> ScoredRows:
        shares = self.fusion_weights.shares
        cold = history.num_events == 0
        direction_D, popular = direction(self.model, hidden_D), popularity_weight(shares)
        if cold:
            direction_D, popular = COLD_SHARE * direction_D, popular + 1.0
        related = self.sources.related(shares, history)
        proposals = [found.best(MOST_RELATED) for found in related.values()]
        if cold:
            proposals.append(search.popular)
        excluded = history.items_of(0) if exclude else NO_ROWS
        query_D = search.query(direction_D, popular)
        rows = search.candidates(query_D, count, excluded, proposals)
        scores = logits_of(self.model, self.state, hidden_D, rows)
        if cold:
            scores = np.log1p(self.sources.popularity[rows]) + np.float32(COLD_SHARE) * scores
        for name, share in shares.items():
            scores = scores + self.sources.score_rows(name, share, rows, related)
        scores[np.isin(rows, excluded)] = -np.inf
        return best_of_candidates(rows, scores, count, self.sources.new_ids)

    def mixed(self, scores: FloatArray, histories: Histories) -> FloatArray:
        """[U, I] the model's log-probabilities with the sources' shares, in place; removed items too."""
        cold = histories.lengths == 0
        scores[cold] = np.log1p(self.sources.popularity) + COLD_SHARE * scores[cold]
        for name, share in self.fusion_weights.shares.items():
            scores += self.sources.score(name, share, histories)
        return scores


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


def hidden_behind(
    ranking: ModelRanker | ModelSearcher, histories: Histories, writes: Sequence[Write]
) -> Tensor:
    """[U, D] where the answer to every sentence begins; with a cache, only what is new of it is written."""
    model, state, encoder, cache = ranking.model, ranking.state, ranking.encoder, ranking.cache
    if cache is None:
        return hidden_at_end(model, state, [encoder.encode(write()) for write in writes])
    task, config = ranking.task, ranking.task.template.config
    keys = [
        HistoryKey.latest(histories, user, task.words, config.max_items, ratings=config.ratings)
        for user in range(len(writes))
    ]
    sentences = [DeferredSentence(key, write) for key, write in zip(keys, writes, strict=True)]
    return hidden_after(model, state, encoder, sentences, cache, histories.user_ids.tolist())


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


@torch.inference_mode()
def log_probabilities_at(model: UnimpModel, state: ItemState, hidden_ND: Tensor) -> FloatArray:
    """[N, I] log p(item) after each hidden state."""
    logits = model.item_logits(hidden_ND, state.table_ID)
    return np.asarray(torch.log_softmax(logits, dim=-1).cpu().numpy(), dtype=np.float32)


@torch.inference_mode()
def logits_of(model: UnimpModel, state: ItemState, hidden_D: Tensor, rows: IntArray) -> FloatArray:
    """[N] the model's scores of these items after one hidden state; `log_probabilities_at` but a constant."""
    vectors_ND = state.table_ID[torch.from_numpy(rows).to(state.table_ID.device)]
    logits_1N = model.item_logits(hidden_D[None], vectors_ND)
    return np.array(logits_1N[0].float().cpu().numpy(), dtype=np.float32)


@torch.inference_mode()
def direction(model: UnimpModel, hidden_D: Tensor) -> FloatArray:
    """[D] whose inner product with an item's vector is the model's score."""
    scaled_1D = model.item_logits(hidden_D[None], torch.eye(len(hidden_D)).to(hidden_D))
    return np.asarray(scaled_1D[0].float().cpu().numpy(), dtype=np.float32)


def popularity_weight(shares: Mapping[str, SourceWeight]) -> float:
    """What log popularity counts; 0 where it does not."""
    return shares[POPULARITY].weight if POPULARITY in shares else 0.0
