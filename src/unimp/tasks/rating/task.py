"""Preference prediction: which rating will the user give this item?"""

from __future__ import annotations

import numpy as np

from unimp.answer import Rater
from unimp.data.histories import Cases, Histories
from unimp.metrics.ratings import rating_metrics
from unimp.sentence.parts import Role, UserSentence
from unimp.sentence.template import HistoryEvent
from unimp.tasks.context import TaskContext
from unimp.tasks.task import Task, TaskScore, Window, cut_windows, events_of


class RatingTask(Task):
    """Dense: every item of the history is followed by its rating, and every rating is predicted."""

    name = "rating"
    words = "predict the rating"
    headline = "RMSE"
    lower_is_better = True

    @classmethod
    def lacks(cls, context: TaskContext) -> str | None:
        return None if context.has_ratings else "ratings"

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        return cut_windows(histories, max_items, rng)

    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        events = events_of(histories, window.user, window.start, window.stop)
        writer = self.template.begin(self.words)
        for event in events:
            rated = event.rating is not None
            writer.item(event.item_row)
            writer.rating(event.rating, Role.ANSWER if rated else Role.SHOWN)
        return writer.done()

    def question(self, histories: Histories, user: int, item_row: int) -> UserSentence:
        """The history with its ratings, then the item that is asked about: its rating comes next."""
        kept = self.kept(histories, user)
        writer = self.template.begin(self.words)
        for event in kept:
            writer.item(event.item_row).rating(event.rating)
        return writer.told().item(item_row, Role.SHOWN).done()

    def kept(self, histories: Histories, user: int) -> list[HistoryEvent]:
        events = events_of(histories, user)
        return events[-self.template.config.max_items + 1 :] if self.template.config.max_items > 1 else []

    def score(
        self, answerer: Rater, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """RMSE and MAE over the cases whose rating is known."""
        truth = self.truth(cases)
        asked = np.flatnonzero(~np.isnan(truth) & (cases.target_rows >= 0))
        batch = cases.select(asked)
        forecast = np.full(len(cases), np.nan)
        forecast[asked] = answerer.rate(batch.histories, batch.target_rows)
        unscored = int(np.isnan(forecast).sum())
        metrics, errors = rating_metrics(forecast, truth), (forecast - truth) ** 2
        return TaskScore(metrics, len(cases), unscored, values=errors, values_of="squared error")

    def truth(self, cases: Cases) -> np.ndarray:
        """[N] the ratings that were given; NaN where there is none."""
        events = self.context.events
        if events is None:
            return np.full(len(cases), np.nan)
        ratings = events["rating"].fill_null(float("nan")).to_numpy()
        return np.where(cases.target_events >= 0, ratings[np.maximum(cases.target_events, 0)], np.nan)
