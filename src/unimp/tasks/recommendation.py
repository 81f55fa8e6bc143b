"""Recommendation: after this history, which item comes next?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from unimp.answer import Ranker
from unimp.data.histories import Cases, Histories
from unimp.metrics.ranking import rank_cases, ranking_metrics
from unimp.progress import progress_bar
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import Event, Template
from unimp.tasks.task import Task, TaskScore, Window


class Recommendation(Task):
    """Dense: each position before an item predicts it, so one sentence trains every step of a history."""

    name = "recommendation"
    words = "recommend the next item"

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        """One window per user; a history longer than `max_items` is cut at places drawn anew each epoch."""
        windows: list[Window] = []
        for user, length in enumerate(histories.lengths.tolist()):
            if length <= max_items:
                windows.append(Window(user, 0, length))
                continue
            first = int(rng.integers(1, max_items + 1))
            cuts = [0, *range(first, length, max_items), length]
            windows.extend(Window(user, start, stop) for start, stop in pairwise(cuts))
        return [window for window in windows if window.stop > window.start]

    def sentence(self, template: Template, events: Sequence[Event]) -> UserSentence:
        return template.history(events, self.words)

    def score(
        self, ranker: Ranker, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """HR, NDCG and MRR over the full catalogue."""
        with progress_bar("ranking", len(cases), show=show) as bar:
            ranks = rank_cases(ranker, cases, exclude_history=exclude_history, advance=bar.advance)
        return TaskScore(ranking_metrics(ranks), len(cases), int(np.isnan(ranks).sum()), ranks)
