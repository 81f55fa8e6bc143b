"""What a task is: words, training sentences, questions, a score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from unimp.data.histories import Cases, Histories
from unimp.metrics.ranking import RankArray
from unimp.sentence.parts import Role, UserSentence
from unimp.sentence.template import HistoryEvent, Writer
from unimp.tasks.context import TaskContext

DRAWS = 2**62


@dataclass(frozen=True)
class Window:
    """A stretch of one user's history: events `start`:`stop` counted from its first."""

    user: int
    start: int
    stop: int
    draw: int = 0
    """Seed of whatever the task draws for this sentence."""


@dataclass(frozen=True)
class TaskScore:
    """How well a task was done; `unscored` cases are counted, not taken as zero."""

    metrics: dict[str, float]
    """Fractions, by name (ratings: in the data's own scale)."""
    cases: int
    unscored: int
    ranks: RankArray | None = None
    """[cases] the target's rank, where the task ranks items."""
    values: RankArray | None = None
    """[cases] what a metric is the mean of, case by case; NaN is unscored."""
    values_of: str = ""
    """That metric, where it is not the headline."""


class Task(ABC):
    """Makes examples and questions. Training and inference go through the same template."""

    name: ClassVar[str]
    words: ClassVar[str]
    """The task description T, as the model reads it."""
    headline: ClassVar[str]
    """The metric that says in one figure how well the task is done."""
    lower_is_better: ClassVar[bool] = False
    by_likelihood: ClassVar[bool] = False
    """While training, the likelihood of held-out answers is watched instead of the headline: an answer
    would have to be written or drawn for every case."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self.template = context.template

    @classmethod
    def lacks(cls, context: TaskContext) -> str | None:
        """What the data would need for this task; None when it has all."""
        return None

    def told(
        self, histories: Histories, user: int, known: int | None = None, role: Role = Role.CONTEXT
    ) -> Writer:
        """The beginning of a question: the latest events that a sentence holds.

        known: so many of those events, and the words before them, have been read: only the rest is written.
        """
        if known is None:
            return self.template.history(events_of(histories, user), self.words, role)
        length = int(histories.offsets[user + 1] - histories.offsets[user])
        first = max(length - self.template.config.max_items, 0)
        events = events_of(histories, user, first + known)
        return self.template.history(events, self.words, role, opening=False)

    @abstractmethod
    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        """The training sentences of one epoch."""

    @abstractmethod
    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        """One training sentence, answers included."""

    @abstractmethod
    def score(
        self, answerer: Any, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """Answer every case and judge the answers. `answerer` satisfies the task's own protocol."""

    def likelihood_examples(self, cases: Cases) -> list[UserSentence]:
        """Held-out answers as complete sentences, for tasks watched `by_likelihood`."""
        raise NotImplementedError(f"{self.name} is judged by its score")


def events_of(histories: Histories, user: int, start: int = 0, stop: int | None = None) -> list[HistoryEvent]:
    """Events `start`:`stop` of a user as the template takes them."""
    first, end = int(histories.offsets[user]), int(histories.offsets[user + 1])
    chosen = slice(first + start, end if stop is None else first + stop)
    rows = histories.item_rows[chosen].tolist()
    ratings = histories.ratings[chosen].tolist()
    table_rows = histories.event_rows[chosen].tolist()
    return [
        HistoryEvent(row, None if rating != rating else rating, event_row)
        for row, rating, event_row in zip(rows, ratings, table_rows, strict=True)
    ]


def cut_windows(
    histories: Histories, max_items: int, rng: np.random.Generator, *, draws: bool = False
) -> list[Window]:
    """One window per user; a history longer than `max_items` is cut at places drawn anew each epoch.

    With `draws`, each window gets a seed of its own.
    """
    windows: list[Window] = []
    for user, length in enumerate(histories.lengths.tolist()):
        if length <= max_items:
            cuts: Sequence[int] = (0, length) if length else ()
        else:
            cuts = [0, *range(int(rng.integers(1, max_items + 1)), length, max_items), length]
        windows.extend(Window(user, start, stop) for start, stop in pairwise(cuts) if stop > start)
    if not draws:
        return windows
    seeds = rng.integers(DRAWS, size=len(windows)).tolist()
    return [
        Window(window.user, window.start, window.stop, draw)
        for window, draw in zip(windows, seeds, strict=True)
    ]
