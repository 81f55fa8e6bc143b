"""Search: words, a picture, or both; the items that answer them, in this user's taste."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unimp.answer import Query, Searcher
from unimp.core.progress import progress_bar
from unimp.data.histories import Cases, Histories
from unimp.metrics.ranking import RankArray, mask_history, metric_values, ranking_metrics, target_ranks
from unimp.sentence.parts import Role, UserSentence
from unimp.tasks.context import TaskContext
from unimp.tasks.queries import Posed
from unimp.tasks.task import Task, TaskScore, Window, cut_windows, events_of

ASKED_SHARE = 0.3
"""Share of a history's events that a query precedes while training; the latest always has one."""
BATCH = 512
SATISFIED = 5
"""First places that are looked at for whether they satisfy the query."""


class SearchTask(Task):
    """Dense: some events of a training sentence are preceded by a query that their item satisfies."""

    name = "search"
    words = "search for what the user asks"
    headline = "NDCG@5"

    @classmethod
    def lacks(cls, context: TaskContext) -> str | None:
        maker = context.queries
        if not maker.members and not maker.logged:
            return "category attributes that items share, or logged queries"
        return None

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        return cut_windows(histories, max_items, rng, draws=True)

    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        rng = np.random.default_rng(window.draw)
        user = str(histories.user_ids[window.user])
        events = events_of(histories, window.user, window.start, window.stop)
        asked = rng.random(len(events)) < ASKED_SHARE
        asked[-1:] = True
        writer = self.template.begin(self.words)
        for event, with_query in zip(events, asked.tolist(), strict=True):
            posed = self.context.queries.pose(event.item_row, user, rng) if with_query else None
            if posed is not None:
                writer.asking(posed.query)
            writer.item(event.item_row, Role.CONTEXT if posed is None else Role.ANSWER)
            if self.template.config.ratings:
                writer.rating(event.rating)
        return writer.done()

    def question(
        self, histories: Histories, user: int, query: Query, *, known: int | None = None
    ) -> UserSentence:
        """What is asked after all of a user's events; `known` as in `Task.told`."""
        return self.told(histories, user, known).asking(query).done()

    def queries(self, cases: Cases) -> list[Posed | None]:
        """The query of every case, always the same for the same held-out event; None: none can be asked."""
        posed: list[Posed | None] = []
        for user, row, event in zip(
            cases.histories.user_ids.tolist(),
            cases.target_rows.tolist(),
            cases.target_events.tolist(),
            strict=True,
        ):
            rng = np.random.default_rng([11, max(event, 0), max(row, 0)])
            posed.append(self.context.queries.pose(row, user, rng) if row >= 0 else None)
        return posed

    def score(
        self, answerer: Searcher, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """HR, NDCG, MRR of the user's own item over the full catalogue; satisfied@5 of the whole answer."""
        posed = self.queries(cases)
        ranks: RankArray = np.full(len(cases), np.nan)
        satisfied: list[float] = []
        asked = np.array([row for row, one in enumerate(posed) if one is not None], dtype=np.int64)
        with progress_bar("searching", len(asked), show=show) as bar:
            for start in range(0, len(asked), BATCH):
                rows = asked[start : start + BATCH]
                batch = cases.select(rows)
                chosen = [one for row in rows.tolist() if (one := posed[row]) is not None]
                scores = np.array(answerer.search(batch.histories, [one.query for one in chosen]))
                if exclude_history:
                    mask_history(scores, batch.histories)
                ranks[rows] = target_ranks(scores, batch.target_rows)
                satisfied.extend(satisfaction(scores, chosen))
                bar.advance(len(rows))
        metrics = ranking_metrics(ranks)
        metrics[f"satisfied@{SATISFIED}"] = float(np.mean(satisfied)) if satisfied else float("nan")
        unscored = int(np.isnan(ranks).sum())
        return TaskScore(metrics, len(cases), unscored, ranks, metric_values(ranks, "NDCG", 5))


def satisfaction(scores: np.ndarray, posed: Sequence[Posed]) -> list[float]:
    """Of each answer, the share of the first places that satisfy the query, where that is known."""
    best = np.argpartition(-scores, min(SATISFIED, scores.shape[1] - 1), axis=1)[:, :SATISFIED]
    return [
        float(np.isin(rows, one.positives).mean())
        for rows, one in zip(best, posed, strict=True)
        if one.positives is not None
    ]
