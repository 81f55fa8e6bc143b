"""What a task is: words, training sentences, questions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unimp.data.histories import Histories
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import Event, Template


@dataclass(frozen=True)
class Window:
    """A stretch of one user's history: events `start`:`stop` counted from its first."""

    user: int
    start: int
    stop: int


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


def events_of(histories: Histories, user: int, start: int, stop: int) -> list[Event]:
    """Events `start`:`stop` of a user as the template takes them."""
    first = int(histories.offsets[user])
    rows = histories.item_rows[first + start : first + stop].tolist()
    ratings = histories.ratings[first + start : first + stop].tolist()
    return [
        Event(row, None if rating != rating else rating) for row, rating in zip(rows, ratings, strict=True)
    ]
