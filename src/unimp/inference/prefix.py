"""`Prefix`: what the model made of the first positions of a sentence, and what they are matched by."""

# L layers, H heads, S positions of a prefix, K head width, D width, N tokens of all positions

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.sentence.encoder import EncodedSentence, Kind


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
