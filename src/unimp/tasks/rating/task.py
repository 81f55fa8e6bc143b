"""Preference prediction: which rating will the user give this item?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from unimp.answer import Rater
from unimp.data.histories import Cases, Histories
from unimp.metrics.ratings import rating_metrics
from unimp.sentence.parts import Role, UserSentence
from unimp.sentence.template import HistoryEvent, events_of
from unimp.tasks.context import TaskContext
from unimp.tasks.ranking import bar, history_ids, titled
from unimp.tasks.rating.schema import ANSWER_EXAMPLE, RateRequest, RatingForecast
from unimp.tasks.task import Task, TaskScore
from unimp.tasks.windows import Window, cut_windows

if TYPE_CHECKING:
    import polars as pl

    from unimp.fusion.structure import StructureConfig
    from unimp.fusion.weights import FittedWeights
    from unimp.tasks.decoding import DecoderParts
    from unimp.tasks.rating.decoder import ModelRater


class RatingTask(Task[RateRequest, RatingForecast, "ModelRater", Rater]):
    """Dense: every item of the history is followed by its rating, and every rating is predicted."""

    name = "rating"
    command = "rate"
    summary = "Predict the rating that a user will give an item."
    words = "predict the rating"
    headline = "RMSE"
    lower_is_better = True
    Request = RateRequest
    Answer = RatingForecast
    answer_example = ANSWER_EXAMPLE
    needs_rating_factors = True
    takes_from = ("recommendation",)

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
        """The history with its ratings, then the item in question: its rating comes next."""
        writer = self.template.begin(self.words)
        for event in self.latest(histories, user):
            writer.item(event.item_row).rating(event.rating)
        return writer.told().item(item_row, Role.SHOWN).done()

    def latest(self, histories: Histories, user: int) -> list[HistoryEvent]:
        """The events that fit into a sentence beside the item in question."""
        events = events_of(histories, user)
        return events[-self.template.config.max_items + 1 :] if self.template.config.max_items > 1 else []

    def decoder(self, parts: DecoderParts) -> ModelRater:
        from unimp.tasks.rating.decoder import ModelRater
        from unimp.tasks.rating.preference_percentile import PreferencePercentile
        from unimp.tasks.recommendation.task import RecommendationTask

        ranker = parts.decoder_of(RecommendationTask)
        return ModelRater(
            parts.model,
            parts.state,
            parts.encoder,
            self.question,
            parts.factors,
            None if ranker is None else PreferencePercentile(ranker),
            parts.weights(self),
        )

    def answer(
        self,
        decoder: ModelRater,
        histories: Histories,
        requests: Sequence[RateRequest],
        picture_rows: Sequence[int] = (),
    ) -> list[RatingForecast]:
        catalog, levels = self.context.catalog, decoder.levels
        rows = catalog.rows([request.item for request in requests])
        shares = decoder.distribution(histories, np.array(rows, dtype=np.int64))
        return [
            RatingForecast(
                request.item,
                catalog.label(row),
                float(probabilities @ levels),
                tuple(levels.tolist()),
                tuple(probabilities.tolist()),
                history,
                not history,
            )
            for request, row, probabilities, history in zip(
                requests, rows, shares, history_ids(catalog, histories), strict=True
            )
        ]

    def columns(self, answers: Sequence[RatingForecast]) -> list[pl.Series]:
        """The mean, and the probability of every level of the scale."""
        import polars as pl

        return [
            pl.Series("rating", [answer.mean for answer in answers], dtype=pl.Float32),
            pl.Series(
                "probabilities",
                [list(answer.probabilities) for answer in answers],
                dtype=pl.List(pl.Float32),
            ),
        ]

    def lines(self, answer: RatingForecast) -> list[str]:
        shares = zip(answer.levels, answer.probabilities, strict=True)
        return [
            f"{titled(answer.item_id, answer.title).strip()}: {answer.mean:.2f}",
            *(f"{level:6g} {share:6.1%} {bar(share)}" for level, share in shares),
        ]

    def fit_fusion(
        self, decoder: ModelRater, valid: Cases, config: StructureConfig, *, exclude_history: bool = True
    ) -> FittedWeights:
        from unimp.tasks.rating.fitting import fit_rating

        return fit_rating(decoder, self, valid, config)

    def references(self, parts: DecoderParts) -> Mapping[str, Rater]:
        """Means, biased matrix factorisation, and the closed form that the forecast is drawn to."""
        from unimp.tasks.rating.factors import BiasedMF
        from unimp.tasks.rating.references import GlobalMean, ItemMean, UserMean

        train = self.context.train
        closed_form = {} if parts.factors is None else {"closed form, no model": parts.factors}
        return closed_form | {
            "global mean": GlobalMean.fit(train),
            "user mean": UserMean.fit(train),
            "item mean": ItemMean.fit(train),
            "biased MF": BiasedMF.fit(train, seed=0),
        }

    def score(
        self, method: Rater, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """RMSE and MAE over the cases whose rating is known."""
        truth = self.truth(cases)
        rated_cases = np.flatnonzero(~np.isnan(truth) & (cases.target_rows >= 0))
        batch = cases.select(rated_cases)
        forecast = np.full(len(cases), np.nan)
        forecast[rated_cases] = method.rate(batch.histories, batch.target_rows)
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
