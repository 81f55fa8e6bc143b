"""Explanation: why does this item suit the user, in words and with its rating?"""

from __future__ import annotations

import numpy as np

from unimp.answer import Explainer
from unimp.data.histories import Cases, Histories
from unimp.data.reviews import named_aspects
from unimp.metrics.ratings import rating_metrics
from unimp.metrics.text import rouge_l, text_metrics
from unimp.sentence.parts import Role, UserSentence
from unimp.sentence.template import Writer
from unimp.tasks.context import TaskContext
from unimp.tasks.task import Task, TaskScore, Window, cut_windows, events_of

MOST_EVENTS = 10
"""Events per sentence: each may bring twenty words."""


class ExplanationTask(Task):
    """Dense: every event of the history brings its rating, then the sentence its user wrote about it."""

    name = "explanation"
    words = "explain why the item suits"
    headline = "BLEU-4"
    by_likelihood = True

    @classmethod
    def lacks(cls, context: TaskContext) -> str | None:
        return None if context.has_reviews else "written reviews"

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        return cut_windows(histories, min(max_items, MOST_EVENTS), rng)

    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        return self._told(histories, window.user, window.start, window.stop).done()

    def _told(self, histories: Histories, user: int, start: int, stop: int) -> Writer:
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
        writer = self._told(histories, user, max(0, length - MOST_EVENTS + 1), length)
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

    def score(
        self, answerer: Explainer, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """BLEU, ROUGE, distinct-n against the sentence that was written; share that names what is true."""
        texts, ratings = self.truth(cases)
        asked = np.array([case for case, text in enumerate(texts) if text], dtype=np.int64)
        batch = cases.select(asked)
        answers = answerer.explain(batch.histories, batch.target_rows)
        written = [texts[case] or "" for case in asked.tolist()]
        told = [answer.text for answer in answers]
        own = [tuple(self.context.aspects[row]) for row in batch.target_rows.tolist()]
        metrics = text_metrics(told, written, own, self.foreign(told, batch))
        metrics |= rating_metrics(np.array([answer.rating for answer in answers]), ratings[asked])
        empty = sum(not text for text in told)
        values = np.full(len(cases), np.nan)
        values[asked] = rouge_l(told, written)
        return TaskScore(
            metrics, len(cases), len(cases) - len(asked) + empty, values=values, values_of="ROUGE-L"
        )

    def foreign(self, texts: list[str], cases: Cases) -> list[tuple[str, ...]]:
        """Of each text, the aspects it names that are none of its item's."""
        lexicon, aspects = self.context.lexicon, self.context.aspects
        return [
            tuple(name for name in named_aspects(text, lexicon) if name not in aspects[row])
            for text, row in zip(texts, cases.target_rows.tolist(), strict=True)
        ]
