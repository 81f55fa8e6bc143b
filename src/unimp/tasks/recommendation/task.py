"""Recommendation: after this history, which item comes next?"""

from __future__ import annotations

import numpy as np

from unimp.answer import Ranker
from unimp.core.progress import progress_bar
from unimp.data.histories import Cases, Histories
from unimp.metrics.ranking import metric_values, rank_cases, ranking_metrics
from unimp.sentence.parts import Role, UserSentence
from unimp.tasks.task import Task, TaskScore, Window, cut_windows, events_of


class RecommendationTask(Task):
    """Dense: each position before an item predicts it, so one sentence trains every step of a history."""

    name = "recommendation"
    words = "recommend the next item"
    headline = "NDCG@5"

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        return cut_windows(histories, max_items, rng)

    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        events = events_of(histories, window.user, window.start, window.stop)
        return self.template.history(events, self.words, Role.ANSWER).done()

    def question(self, histories: Histories, user: int, *, known: int | None = None) -> UserSentence:
        """What is asked after all of a user's events; `known` as in `Task.told`."""
        return self.told(histories, user, known, Role.ANSWER).done()

    def score(
        self, answerer: Ranker, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """HR, NDCG and MRR over the full catalogue."""
        with progress_bar("ranking", len(cases), show=show) as bar:
            ranks = rank_cases(answerer, cases, exclude_history=exclude_history, advance=bar.advance)
        return TaskScore(
            ranking_metrics(ranks),
            len(cases),
            int(np.isnan(ranks).sum()),
            ranks,
            metric_values(ranks, "NDCG", 5),
        )
