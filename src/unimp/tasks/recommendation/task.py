"""Recommendation: after this history, which item comes next?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unimp.answer import Ranker
from unimp.core.progress import progress_bar
from unimp.data.histories import Cases, Histories
from unimp.metrics.ranking import RankArray, metric_values, rank_cases, ranking_metrics, users_at_a_time
from unimp.sentence.parts import Role, UserSentence
from unimp.sentence.template import events_of
from unimp.tasks.ranking import history_ids, item_columns, item_lines, ranked_items
from unimp.tasks.recommendation.schema import ANSWER_EXAMPLE, Recommendation, RecommendRequest
from unimp.tasks.task import Task, TaskScore
from unimp.tasks.windows import Window, cut_windows

if TYPE_CHECKING:
    import polars as pl

    from unimp.fusion.structure import StructureConfig
    from unimp.fusion.weights import FittedWeights
    from unimp.inference.retrieval import ModelRanker
    from unimp.tasks.decoding import DecoderParts


class RecommendationTask(Task[RecommendRequest, Recommendation, "ModelRanker", Ranker]):
    """Dense: each position before an item predicts it, so one sentence trains every step of a history."""

    name = "recommendation"
    command = "recommend"
    summary = "Recommend the next items."
    words = "recommend the next item"
    headline = "NDCG@5"
    Request = RecommendRequest
    Answer = Recommendation
    answer_example = ANSWER_EXAMPLE
    ranks_items = True
    chooses_items = True
    predicts_horizon = True
    compared_by_bench = True

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        return cut_windows(histories, max_items, rng)

    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        events = events_of(histories, window.user, window.start, window.stop)
        return self.template.history(events, self.words, Role.ANSWER).done()

    def question(self, histories: Histories, user: int, *, known: int | None = None) -> UserSentence:
        """All of a user's events: the next item comes after them. `known` as in `begin_question`."""
        return self.begin_question(histories, user, known, Role.ANSWER).done()

    def decoder(self, parts: DecoderParts) -> ModelRanker:
        from unimp.inference.retrieval import ModelRanker

        return ModelRanker(
            parts.model,
            parts.state,
            parts.encoder,
            self,
            parts.sources,
            parts.weights(self),
            second_stage=parts.second_stage,
        )

    def answer(
        self,
        decoder: ModelRanker,
        histories: Histories,
        requests: Sequence[RecommendRequest],
        picture_rows: Sequence[int] = (),
    ) -> list[Recommendation]:
        catalog = self.context.catalog
        counts, excluded = [r.k for r in requests], [r.exclude_history for r in requests]
        found = ranked_items(catalog, decoder.best(histories, counts, excluded))
        return [
            Recommendation(items, history, not history)
            for items, history in zip(found, history_ids(catalog, histories), strict=True)
        ]

    def columns(self, answers: Sequence[Recommendation]) -> list[pl.Series]:
        return item_columns([answer.items for answer in answers])

    def lines(self, answer: Recommendation) -> list[str]:
        return item_lines("recommended", answer.items)

    def fit_fusion(
        self, decoder: ModelRanker, valid: Cases, config: StructureConfig, *, exclude_history: bool = True
    ) -> FittedWeights:
        from unimp.tasks.recommendation.fitting import fit_recommendation_weights

        return fit_recommendation_weights(decoder, valid, config, exclude_history=exclude_history)

    def score(
        self, method: Ranker, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """HR, NDCG and MRR over the full catalogue."""
        with progress_bar("ranking", len(cases), show=show) as bar:
            ranks = rank_cases(
                method,
                cases,
                exclude_history=exclude_history,
                batch_size=users_at_a_time(len(self.context.catalog)),
                advance=bar.advance,
            )
        return score_of_ranks(ranks)


def score_of_ranks(ranks: RankArray) -> TaskScore:
    """The score of recommendations whose targets have these ranks."""
    unscored = int(np.isnan(ranks).sum())
    return TaskScore(ranking_metrics(ranks), len(ranks), unscored, ranks, metric_values(ranks, "NDCG", 5))
