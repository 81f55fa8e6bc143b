"""`PrefixCache`: keys and values of the users' histories, matched by content, bounded in bytes."""

# L layers, H heads, S positions of a prefix, K head width, D width, N tokens of all positions

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Literal, Self

import numpy as np
from torch import Tensor

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.sentence.encoder import EncodedSentence, Kind

Outcome = Literal["hit", "extended", "miss"]
VERSIONS = 3
"""Most prefixes with one opening (start and task words) that are cached of a user: tasks without words of
their own may write a history in different ways; otherwise all but one tell histories that have changed."""


@dataclass(frozen=True)
class HistoryKey:
    """The events that a sentence of one task begins with: compared before anything is written or encoded."""

    task_words: str
    item_rows: IntArray
    ratings: FloatArray
    """NaN where there is none, or where sentences write no ratings."""

    def __len__(self) -> int:
        return len(self.item_rows)

    @classmethod
    def latest(
        cls, histories: Histories, user: int, task_words: str, max_items: int, *, ratings: bool
    ) -> Self:
        """The latest `max_items` events of one user."""
        stop = int(histories.offsets[user + 1])
        chosen = slice(max(int(histories.offsets[user]), stop - max_items), stop)
        rows = histories.item_rows[chosen]
        values = histories.ratings[chosen] if ratings else np.full(len(rows), np.nan, dtype=np.float32)
        return cls(task_words, rows.copy(), values.copy())

    @property
    def num_bytes(self) -> int:
        return self.item_rows.nbytes + self.ratings.nbytes

    def begins(self, other: HistoryKey) -> bool:
        """Whether `other` has the same events first."""
        size = len(self)
        return (
            self.task_words == other.task_words
            and np.array_equal(self.item_rows, other.item_rows[:size])
            and np.array_equal(self.ratings, other.ratings[:size], equal_nan=True)
        )


@dataclass(frozen=True)
class Positions:
    """The first S positions of a sentence: all that the model's keys and values of them depend on."""

    items: IntArray
    """[S] as in `EncodedSentence`, like the others."""
    pictures: IntArray
    sees: IntArray
    bag_sizes: IntArray
    tokens: IntArray
    """[N]"""
    opening: int
    """So many of the positions stand before the first event: the start and the task's words."""

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def of_history(cls, sentence: EncodedSentence) -> Self:
        """Those of a sentence that tell the history."""
        end = sentence.history
        framing = sentence.kinds[:end] == Kind.FRAME
        return cls(
            sentence.items[:end],
            sentence.pictures[:end],
            sentence.sees[:end],
            sentence.bag_sizes[:end],
            sentence.tokens[: int(sentence.bag_sizes[:end].sum())],
            end if framing.all() else int(np.argmin(framing)),
        )

    def followed_by(self, start: int, more: Positions) -> Positions:
        """The first `start` of these, then `more`; in memory of their own."""
        first = int(self.bag_sizes[:start].sum())
        return Positions(
            np.concatenate([self.items[:start], more.items]),
            np.concatenate([self.pictures[:start], more.pictures]),
            np.concatenate([self.sees[:start], more.sees]),
            np.concatenate([self.bag_sizes[:start], more.bag_sizes]),
            np.concatenate([self.tokens[:first], more.tokens]),
            self.opening if start else more.opening,
        )

    def holds(self, item_rows: IntArray) -> bool:
        """Whether one of these items, or its picture, is read here."""
        return bool(np.isin(self.items, item_rows).any() or np.isin(self.pictures, item_rows).any())

    @property
    def num_bytes(self) -> int:
        arrays = (self.items, self.pictures, self.sees, self.bag_sizes, self.tokens)
        return sum(array.nbytes for array in arrays)

    def shared(self, other: Positions) -> int:
        """How many first positions are the same in both."""
        size = min(len(self), len(other))
        same = self.items[:size] == other.items[:size]
        for mine, theirs in (
            (self.pictures, other.pictures),
            (self.sees, other.sees),
            (self.bag_sizes, other.bag_sizes),
        ):
            same &= mine[:size] == theirs[:size]
        size = size if same.all() else int(np.argmin(same))
        ends = np.cumsum(self.bag_sizes[:size])
        num_tokens = int(ends[-1]) if size else 0
        equal = self.tokens[:num_tokens] == other.tokens[:num_tokens]
        if equal.all():
            return size
        return int(np.searchsorted(ends, int(np.argmin(equal)), side="right"))


@dataclass(frozen=True)
class Prefix:
    """What the model made of a sentence's first positions: enough to continue from any of them."""

    positions: Positions
    keys_LHSK: Tensor
    values_LHSK: Tensor
    hidden_D: Tensor
    """After the last position."""
    events: HistoryKey | None = None
    """The history that the positions tell, where the sentence was asked for by its history."""

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def num_bytes(self) -> int:
        tensors = self.keys_LHSK.nbytes + self.values_LHSK.nbytes + self.hidden_D.nbytes
        return tensors + self.positions.num_bytes + (0 if self.events is None else self.events.num_bytes)


class PrefixCache:
    """Prefixes of the users' sentences within a number of bytes; the least recently used are evicted first.

    One cache serves all tasks: a prefix is found by its positions, whichever task's sentence it came from.
    Users never share one, so that forgetting a user forgets all that was read of them. Safe to use from
    several threads.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self.outcomes: dict[Outcome, int] = {"hit": 0, "extended": 0, "miss": 0}
        self._prefixes: OrderedDict[int, tuple[str, Prefix]] = OrderedDict()
        """By number, the least recently used first."""
        self._of_user: dict[str, list[int]] = {}
        """Numbers, in the same order."""
        self._numbers = count()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._prefixes)

    def users(self) -> set[str]:
        with self._lock:
            return set(self._of_user)

    def prefixes(self, user: str) -> list[Prefix]:
        """Those of one user, the least recently used first."""
        with self._lock:
            return [self._prefixes[number][1] for number in self._of_user.get(user, ())]

    def match(self, user: str, positions: Positions) -> tuple[Prefix, int] | None:
        """The prefix that has most of `positions` in common, and how many; None: not even the opening."""
        with self._lock:
            numbers = self._of_user.get(user, ())
            shared = {number: self._prefixes[number][1].positions.shared(positions) for number in numbers}
            best = max(shared, key=lambda number: shared[number], default=-1)
            length = shared.get(best, 0)
            complete = length == len(positions)
            self.outcomes[
                "hit" if length and complete else "extended" if length > positions.opening else "miss"
            ] += 1
            if not length:
                return None
            return self._use(best), length

    def match_events(self, user: str, events: HistoryKey) -> Prefix | None:
        """The longest prefix whose history `events` begins with; None does not count as a miss."""
        with self._lock:
            found, longest = -1, -1
            for number in self._of_user.get(user, ()):
                known = self._prefixes[number][1].events
                if known is not None and len(known) > longest and known.begins(events):
                    found, longest = number, len(known)
            if found < 0:
                return None
            self.outcomes["hit" if longest == len(events) else "extended"] += 1
            return self._use(found)

    def insert(self, user: str, prefix: Prefix) -> None:
        """Cache a prefix instead of the shorter ones that it begins with; not one that is cached already."""
        with self._lock:
            versions = []
            for number in list(self._of_user.get(user, ())):
                known = self._prefixes[number][1].positions
                shared = known.shared(prefix.positions)
                if shared == len(known):
                    self._remove(number)
                elif shared == len(prefix):
                    return
                elif shared >= prefix.positions.opening:
                    versions.append(number)
            for number in versions[: max(0, len(versions) + 1 - VERSIONS)]:
                self._remove(number)
            number = next(self._numbers)
            self._prefixes[number] = user, prefix
            self._of_user.setdefault(user, []).append(number)
            self.bytes += prefix.num_bytes
            while self.bytes > self.max_bytes:
                self._remove(next(iter(self._prefixes)))

    def forget_user(self, user: str) -> None:
        with self._lock:
            for number in list(self._of_user.get(user, ())):
                self._remove(number)

    def forget_items(self, item_rows: Iterable[int]) -> None:
        """Drop the prefixes that hold one of these items, or its picture."""
        rows = np.array(sorted(item_rows), dtype=np.int64)
        with self._lock:
            holding = [
                number for number, (_, prefix) in self._prefixes.items() if prefix.positions.holds(rows)
            ]
            for number in holding:
                self._remove(number)

    def _use(self, number: int) -> Prefix:
        user, prefix = self._prefixes[number]
        self._prefixes.move_to_end(number)
        self._of_user[user].remove(number)
        self._of_user[user].append(number)
        return prefix

    def _remove(self, number: int) -> None:
        user, prefix = self._prefixes.pop(number)
        self.bytes -= prefix.num_bytes
        numbers = self._of_user[user]
        numbers.remove(number)
        if not numbers:
            del self._of_user[user]
