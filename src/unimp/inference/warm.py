"""Warm user states: a history is read once, later reads begin where it ended."""

# L layers, H heads, S positions read, K head width, B users of a batch, D width

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from torch import Tensor

from unimp.data.histories import FloatArray, Histories, IntArray

Key: TypeAlias = tuple[str, str]
"""Task and user: the task is told before the history, so each task has states of its own."""
Outcome = Literal["hit", "extended", "miss"]


class Beginning(Protocol):
    """What was read, so that one can tell whether something else goes on from it."""

    @property
    def item_rows(self) -> IntArray:
        """Rows of the items in it."""

    @property
    def num_bytes(self) -> int: ...

    def __len__(self) -> int: ...

    def begins(self, other: object) -> bool:
        """Whether `other` is the same, perhaps with more behind it."""


@dataclass(frozen=True)
class Seen:
    """The events of a history that stand in a sentence, oldest first."""

    item_rows: IntArray
    ratings: FloatArray
    """NaN where there is none, or where sentences write no ratings."""

    def __len__(self) -> int:
        return len(self.item_rows)

    @classmethod
    def latest(cls, histories: Histories, user: int, most: int, *, ratings: bool) -> Seen:
        """The latest `most` events of one user."""
        stop = int(histories.offsets[user + 1])
        chosen = slice(max(int(histories.offsets[user]), stop - most), stop)
        rows = histories.item_rows[chosen]
        values = histories.ratings[chosen] if ratings else np.full(len(rows), np.nan, dtype=np.float32)
        return cls(rows.copy(), np.array(values))

    @property
    def num_bytes(self) -> int:
        return self.item_rows.nbytes + self.ratings.nbytes

    def begins(self, other: object) -> bool:
        """Whether `other` goes on from here: the same events first."""
        size = len(self)
        return (
            isinstance(other, Seen)
            and size <= len(other)
            and np.array_equal(self.item_rows, other.item_rows[:size])
            and np.array_equal(self.ratings, other.ratings[:size], equal_nan=True)
        )


@dataclass(frozen=True)
class WarmState:
    """What the model made of one history: enough to go on reading."""

    seen: Beginning
    keys_LHSK: Tensor
    values_LHSK: Tensor
    hidden_D: Tensor | None = None
    """After the last event, where an answer begins there."""

    @property
    def positions(self) -> int:
        return self.keys_LHSK.shape[2]

    @property
    def num_bytes(self) -> int:
        hidden = 0 if self.hidden_D is None else self.hidden_D.nbytes
        return self.keys_LHSK.nbytes + self.values_LHSK.nbytes + hidden + self.seen.num_bytes


class WarmMemory:
    """States by task and user within a number of bytes, the least recently used dropped first.

    Safe to use from several threads.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self.bytes = most_bytes, 0
        self.states: OrderedDict[Key, WarmState] = OrderedDict()
        self.outcomes: dict[Outcome, int] = {"hit": 0, "extended": 0, "miss": 0}
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.states)

    def find(self, key: Key, seen: Beginning) -> WarmState | None:
        """The state that `seen` goes on from; one of another history is of no use."""
        with self.lock:
            state = self.states.get(key)
            if state is None or not state.seen.begins(seen):
                self.outcomes["miss"] += 1
                return None
            self.outcomes["hit" if len(state.seen) == len(seen) else "extended"] += 1
            self.states.move_to_end(key)
            return state

    def put(self, key: Key, state: WarmState) -> None:
        with self.lock:
            self._remove(key)
            self.states[key] = state
            self.bytes += state.num_bytes
            while self.bytes > self.most_bytes and self.states:
                self._remove(next(iter(self.states)))

    def users(self) -> set[str]:
        with self.lock:
            return {user for _, user in self.states}

    def forget_user(self, user: str) -> None:
        """Drop the user's states, of every task."""
        with self.lock:
            for key in [key for key in self.states if key[1] == user]:
                self._remove(key)

    def forget_items(self, item_rows: Iterable[int]) -> None:
        """Drop the states whose history holds one of these items."""
        rows = np.array(sorted(item_rows), dtype=np.int64)
        with self.lock:
            holding = [key for key, one in self.states.items() if np.isin(one.seen.item_rows, rows).any()]
            for key in holding:
                self._remove(key)

    def _remove(self, key: Key) -> None:
        state = self.states.pop(key, None)
        self.bytes -= 0 if state is None else state.num_bytes


def by_length(lengths: Sequence[int], short: int) -> Iterator[list[int]]:
    """The rows of short and of long sentences apart: what goes on by an event must not wait for padding."""
    for rows in (
        [row for row, length in enumerate(lengths) if 0 < length <= short],
        [row for row, length in enumerate(lengths) if length > short],
    ):
        if rows:
            yield rows
