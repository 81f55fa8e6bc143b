"""Recommendation: after this history, which item comes next?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unimp.data.histories import Histories
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import Event, Template
from unimp.tasks.task import Task, Window


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
            windows.extend(
                Window(user, start, stop) for start, stop in zip(cuts[:-1], cuts[1:], strict=True)
            )
        return [window for window in windows if window.stop > window.start]

    def sentence(self, template: Template, events: Sequence[Event]) -> UserSentence:
        return template.history(events, self.words)
