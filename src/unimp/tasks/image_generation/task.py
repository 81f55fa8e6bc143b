"""User-guided image generation: a picture of what the words ask for, in the user's taste."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from unimp.answer import Imaginer, Query
from unimp.data.histories import Cases, Histories, IntArray
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import HistoryEvent
from unimp.tasks.context import TaskContext
from unimp.tasks.task import Task, TaskScore, Window, cut_windows, events_of

UNGUIDED_SHARE = 0.15
"""Share of training pictures drawn from the history alone."""
COLD_SHARE = 0.4
"""Share drawn from words alone, of any picture of the catalogue, sold or not: what a new user's picture,
and the non-personal reference, rest on."""
PICTURES = 2
"""Sentences per stretch of history: each holds one picture."""
MOST_EVENTS = 12
"""Latest items of the history that a picture is drawn from."""


class ImageGenerationTask(Task):
    """The picture of one item of the history, in codes, after the items before it and words about it."""

    name = "imagination"
    words = "draw a picture that the user will like"
    headline = "likelihood"
    by_likelihood = True

    @classmethod
    def lacks(cls, context: TaskContext) -> str | None:
        return None if context.codes is not None else "pictures, and image_tokenizer.enabled in the recipe"

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        """A few pictures per stretch: those of items drawn from it."""
        windows = []
        for window in [
            w for _ in range(PICTURES) for w in cut_windows(histories, max_items, rng, draws=True)
        ]:
            stop = window.start + 1 + int(rng.integers(window.stop - window.start))
            if self._drawn(int(histories.items_of(window.user)[stop - 1])):
                windows.append(Window(window.user, window.start, stop, window.draw))
        return windows

    @cached_property
    def pictured(self) -> IntArray:
        """Rows of the items whose picture has codes."""
        codes = self.context.codes
        assert codes is not None
        return np.flatnonzero(codes[:, 0] >= 0)

    def _drawn(self, row: int) -> bool:
        codes = self.context.codes
        return codes is not None and bool(codes[row, 0] >= 0)

    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        rng = np.random.default_rng(window.draw)
        events = events_of(histories, window.user, window.start, window.stop)
        cold = rng.random() < COLD_SHARE
        target = int(rng.choice(self.pictured)) if cold else events[-1].item_row
        posed = self.context.queries.pose(target, str(histories.user_ids[window.user]), rng)
        guided = rng.random() >= UNGUIDED_SHARE
        query = posed.query if posed is not None and guided else Query()
        return self.write([] if cold else events[:-1], query, target)

    def write(self, events: list[HistoryEvent], query: Query, target: int | None = None) -> UserSentence:
        """History, guidance, answer; the codes of the target when it is known."""
        writer = self.template.history(events[-MOST_EVENTS:], self.words).asking(query).answer()
        codes = self.context.codes
        if target is None or codes is None:
            return writer.codes(()).done()
        return writer.codes(codes[target].tolist()).done()

    def question(self, histories: Histories, user: int, query: Query) -> UserSentence:
        return self.write(events_of(histories, user), query)

    def guidance(self, cases: Cases) -> list[Query]:
        """Words for every case, made from its target's shared values, always the same."""
        queries = []
        for row, event in zip(cases.target_rows.tolist(), cases.target_events.tolist(), strict=True):
            rng = np.random.default_rng([17, max(event, 0)])
            values = self.context.queries.choose_values(row, rng) if row >= 0 else []
            queries.append(Query(" ".join(value for _, value in values)))
        return queries

    def likelihood_examples(self, cases: Cases) -> list[UserSentence]:
        queries = self.guidance(cases)
        return [
            self.write(events_of(cases.histories, case), queries[case], row)
            for case, row in enumerate(cases.target_rows.tolist())
            if row >= 0 and self._drawn(row)
        ]

    def score(
        self, answerer: Imaginer, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """Likelihood only: `picture_judge.py` judges what the pictures look like."""
        raise NotImplementedError("generated pictures are judged by PictureJudge")
