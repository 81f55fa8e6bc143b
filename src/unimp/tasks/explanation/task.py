"""Explanation: why does this item suit the user, in words and with its rating?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from unimp.answer import ExplainedRating, Explainer
from unimp.data.histories import Cases, Histories
from unimp.data.reviews import named_aspects
from unimp.metrics.ratings import rating_metrics
from unimp.metrics.text import rouge_l, text_metrics
from unimp.sentence.parts import Role, UserSentence
from unimp.sentence.template import Writer, events_of
from unimp.tasks.context import TaskContext
from unimp.tasks.explanation.grounds import grounds
from unimp.tasks.explanation.schema import ANSWER_EXAMPLE, ExplainRequest, Explanation
from unimp.tasks.ranking import history_ids, titled
from unimp.tasks.task import Task, TaskScore
from unimp.tasks.windows import Window, cut_windows

if TYPE_CHECKING:
    import polars as pl

    from unimp.tasks.decoding import DecoderParts
    from unimp.tasks.explanation.decoder import ModelExplainer

MOST_EVENTS = 10
"""Events per sentence: each may bring twenty words."""
MOST_RELATIONS = 3
"""That an answer names."""


class ExplanationTask(Task[ExplainRequest, Explanation, "ModelExplainer", Explainer]):
    """Dense: every event of the history brings its rating, then the sentence its user wrote about it."""

    name = "explanation"
    command = "explain"
    summary = "Explain why an item suits a user, with the rating."
    words = "explain why the item suits"
    headline = "BLEU-4"
    Request = ExplainRequest
    Answer = Explanation
    answer_example = ANSWER_EXAMPLE
    by_likelihood = True
    needs_rating_factors = True
    takes_from = ("rating",)

    @classmethod
    def lacks(cls, context: TaskContext) -> str | None:
        return None if context.has_reviews else "written reviews"

    @classmethod
    def extra_words(cls, context: TaskContext) -> Mapping[str, Sequence[str]]:
        return {"review sentences": context.training_sentences()}

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        return cut_windows(histories, min(max_items, MOST_EVENTS), rng)

    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        return self._history(histories, window.user, window.start, window.stop).done()

    def _history(self, histories: Histories, user: int, start: int, stop: int) -> Writer:
        writer = self.template.begin(self.words)
        for event in events_of(histories, user, start, stop):
            writer.item(event.item_row)
            writer.rating(event.rating, Role.SHOWN if event.rating is None else Role.ANSWER)
            words = self.context.review_sentence(event.event_row)
            if words:
                writer.answer().speech(words)
        return writer

    def question(
        self, histories: Histories, user: int, item_row: int, rating: float | None = None
    ) -> UserSentence:
        """The history with ratings and the user's own sentences, then the item; its rating comes next.

        With the `rating` given, its words come next.
        """
        length = int(histories.lengths[user])
        writer = self._history(histories, user, max(0, length - MOST_EVENTS + 1), length)
        writer.told().item(item_row, Role.SHOWN)
        if rating is not None:
            writer.rating(rating, Role.SHOWN).answer()
        return writer.done()

    def truth(self, cases: Cases) -> tuple[list[str | None], np.ndarray]:
        """[N] the sentences that were written and the ratings that were given."""
        events = self.context.events
        assert events is not None
        texts = [self.context.review_sentence(event) for event in cases.target_events.tolist()]
        ratings = events["rating"].fill_null(float("nan")).to_numpy()[np.maximum(cases.target_events, 0)]
        return texts, np.where(cases.target_events >= 0, ratings, np.nan)

    def likelihood_examples(self, cases: Cases) -> list[UserSentence]:
        texts, ratings = self.truth(cases)
        sentences = []
        for case, text in enumerate(texts):
            if text:
                rating = float(ratings[case]) if ratings[case] == ratings[case] else None
                row = int(cases.target_rows[case])
                length = int(cases.histories.lengths[case])
                start = max(0, length - MOST_EVENTS + 1)
                writer = self.template.begin(self.words)
                for event in events_of(cases.histories, case, start, length):
                    writer.item(event.item_row, Role.SHOWN).rating(event.rating, Role.SHOWN)
                writer.item(row, Role.SHOWN).rating(rating, Role.SHOWN)
                sentences.append(writer.answer().speech(text).done())
        return sentences

    def decoder(self, parts: DecoderParts) -> ModelExplainer:
        from unimp.tasks.explanation.decoder import ModelExplainer, SpeakingConfig
        from unimp.tasks.explanation.facts import Facts
        from unimp.tasks.rating.decoder import ModelRater
        from unimp.tasks.rating.task import RatingTask
        from unimp.tasks.recommendation.task import RecommendationTask

        rater = parts.decoder_of(RatingTask) or ModelRater(
            parts.model, parts.state, parts.encoder, self.question, parts.factors
        )
        facts = Facts(self.context, parts.encoder.vocabulary)
        ranker = parts.decoder_of(RecommendationTask)
        return ModelExplainer(
            rater, self, facts, parts.config(SpeakingConfig), ranker=ranker, show=parts.show
        )

    def answer(
        self,
        decoder: ModelExplainer,
        histories: Histories,
        requests: Sequence[ExplainRequest],
        picture_rows: Sequence[int] = (),
    ) -> list[Explanation]:
        catalog = self.context.catalog
        rows = catalog.rows([request.item for request in requests])
        written = decoder.explain(histories, np.array(rows, dtype=np.int64))
        return [
            self._explanation(decoder, histories.slice(user, user + 1), request.item, row, explained, history)
            for user, (request, row, explained, history) in enumerate(
                zip(requests, rows, written, history_ids(catalog, histories), strict=True)
            )
        ]

    def _explanation(
        self,
        decoder: ModelExplainer,
        history: Histories,
        item: str,
        row: int,
        explained: ExplainedRating,
        ids: tuple[str, ...],
    ) -> Explanation:
        catalog, context = self.context.catalog, self.context
        named = named_aspects(explained.text, context.lexicon)
        reasons = decoder.reasons(history, row)
        return Explanation(
            item,
            catalog.label(row),
            explained.text,
            explained.rating,
            tuple(name for name in named if name in context.aspects[row]),
            grounds(catalog, reasons, row, has_events=context.trained_on(row)),
            tuple(reason.relation for reason in reasons[:MOST_RELATIONS]),
            ids,
            not ids,
        )

    def columns(self, answers: Sequence[Explanation]) -> list[pl.Series]:
        import polars as pl

        return [
            pl.Series("text", [answer.text for answer in answers], dtype=pl.String),
            pl.Series("rating", [answer.rating for answer in answers], dtype=pl.Float32),
        ]

    def lines(self, answer: Explanation) -> list[str]:
        named = [f"    names: {', '.join(answer.named)}"] if answer.named else []
        return [
            f"{titled(answer.item_id, answer.title).strip()}: {answer.rating:.2f}",
            f"    {answer.text or '(nothing to say)'}",
            *(f"    {sentence}" for sentence in answer.because),
            *named,
        ]

    def references(self, parts: DecoderParts) -> Mapping[str, Explainer]:
        return self.explainers()

    def explainers(self) -> Mapping[str, Explainer]:
        """Without a model: a template, and sentences of training users (the most frequent one, one found for
        item and user, and the one about the item that agrees most with the others)."""
        from unimp.tasks.explanation.references import (
            AgreedSentence,
            FrequentSentence,
            RetrievedSentence,
            TemplateSentence,
        )

        context = self.context
        assert context.events is not None
        train, events, lexicon = context.train, context.events, context.lexicon
        fetched = RetrievedSentence.fit(train, events, lexicon, len(context.catalog))
        return {
            "most frequent sentence": FrequentSentence.fit(train, events, lexicon),
            "template": TemplateSentence.fit(train, events, lexicon),
            "retrieved sentence": fetched,
            "agreed sentence": AgreedSentence(fetched),
        }

    def score(
        self, method: Explainer, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """BLEU, ROUGE, distinct-n against the sentence that was written; share that names what is true."""
        texts, ratings = self.truth(cases)
        described = np.array([case for case, text in enumerate(texts) if text], dtype=np.int64)
        batch = cases.select(described)
        answers = method.explain(batch.histories, batch.target_rows)
        written = [texts[case] or "" for case in described.tolist()]
        generated = [answer.text for answer in answers]
        own = [tuple(self.context.aspects[row]) for row in batch.target_rows.tolist()]
        metrics = text_metrics(generated, written, own, self.foreign(generated, batch))
        metrics |= rating_metrics(np.array([answer.rating for answer in answers]), ratings[described])
        empty = sum(not text for text in generated)
        values = np.full(len(cases), np.nan)
        values[described] = rouge_l(generated, written)
        return TaskScore(
            metrics, len(cases), len(cases) - len(described) + empty, values=values, values_of="ROUGE-L"
        )

    def foreign(self, texts: list[str], cases: Cases) -> list[tuple[str, ...]]:
        """Of each text, the aspects it names that are none of its item's."""
        lexicon, aspects = self.context.lexicon, self.context.aspects
        return [
            tuple(name for name in named_aspects(text, lexicon) if name not in aspects[row])
            for text, row in zip(texts, cases.target_rows.tolist(), strict=True)
        ]
