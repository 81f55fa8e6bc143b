"""What a task is: words, training sentences, questions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unimp.answer import Ranker
from unimp.data.histories import Cases, Histories
from unimp.metrics.ranking import RankArray
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import Event, Template


@dataclass(frozen=True)
class Window:
    """A stretch of one user's history: events `start`:`stop` counted from its first."""

    user: int
    start: int
    stop: int


@dataclass(frozen=True)
class TaskScore:
    """How well a task was done; `unscored` cases are counted, not taken as zero."""

    metrics: dict[str, float]
    """Fractions, by name."""
    cases: int
    unscored: int
    ranks: RankArray | None = None
    """[cases] the target's rank, where the task ranks items."""


class Task(ABC):
    """Makes examples and questions. Training and inference go through the same template."""

    name: str
    words: str
    """The task description T, as the model reads it."""

    @abstractmethod
    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        """The training sentences of one epoch; together they cover every event."""

    @abstractmethod
    def sentence(self, template: Template, events: Sequence[Event]) -> UserSentence:
        """The sentence of a window of a history, and the question after a whole one."""

    @abstractmethod
    def score(
        self, ranker: Ranker, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """Answer every case and judge the answers."""

    def question(self, template: Template, histories: Histories, user: int) -> UserSentence:
        """What is asked after all of a user's events."""
        return self.sentence(template, events_of(histories, user, 0, int(histories.lengths[user])))


def events_of(histories: Histories, user: int, start: int, stop: int) -> list[Event]:
    """Events `start`:`stop` of a user as the template takes them."""
    first = int(histories.offsets[user])
    rows = histories.item_rows[first + start : first + stop].tolist()
    ratings = histories.ratings[first + start : first + stop].tolist()
    return [
        Event(row, None if rating != rating else rating) for row, rating in zip(rows, ratings, strict=True)
    ]
