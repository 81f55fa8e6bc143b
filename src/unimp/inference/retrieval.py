"""Ranking: one forward pass and one matrix product score every item of the catalogue, or of a large one the
candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Protocol

import numpy as np
from torch import Tensor

from unimp.data.histories import FloatArray, Histories
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
from unimp.inference.score_sources import FusionWeights, ScoreSources
from unimp.inference.scored_rows import ScoredRows, best_of_candidates, best_rows
from unimp.inference.second_stage import Reason, SecondStage, with_unknown
from unimp.inference.vector_index import NO_ROWS
from unimp.metrics.ranking import mask_history
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import Template

COLD_SHARE = 1e-3
"""What the model's log-probability counts beside log popularity when there is no history and no query."""


class NextItemQuestion(Protocol):
    """The task whose question an item answers; satisfied by `RecommendationTask`."""

    name: ClassVar[str]
    words: ClassVar[str]
    template: Template

    def question(self, histories: Histories, user: int, *, known: int | None = None) -> UserSentence:
        """The sentence after which the next item comes; `known` as in `Task.begin_question`."""


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
        """[U, I] as `score`; with `exclude` a user's own items take no place among a second stage's first.

        A second stage sees of a history the items that it knows; who has none of them gets the mixture.
        """
        alone, stage = self.log_probabilities(histories), self.second_stage
        familiar = histories if stage is None else histories.with_rows_below(stage.num_items)
        known = np.flatnonzero(familiar.lengths)
        if stage is None or not len(known):
            return self.sources.hide_removed(self.mixed(alone, histories))
        log_p_UN = alone[known, : stage.num_items]
        scores_UI = self.sources.hide_removed(self.mixed(alone, histories))
        closed_UI = scores_UI[known]
        if exclude:
            mask_history(closed_UI, histories.select(known))
        staged_UN = stage.score(familiar.select(known), log_p_UN, self.sources.removed, exclude=exclude)
        scores_UI[known] = with_unknown(staged_UN, closed_UI)
        return self.sources.hide_removed(scores_UI)

    def reasons(self, history: Histories, item_row: int) -> list[Reason]:
        """What the second stage ranks an item by after one user's history, strongest first."""
        stage = self.second_stage
        if stage is None or item_row >= stage.num_items:
            return []
        familiar = history.with_rows_below(stage.num_items)
        if not familiar.num_events:
            return []
        log_p_N = self.log_probabilities(history)[0, : stage.num_items]
        return stage.reasons(familiar, log_p_N, item_row)

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
