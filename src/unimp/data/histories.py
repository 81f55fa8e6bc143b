"""`Histories`: users' events in time order, in compressed rows, and `Cases`: what a model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

NO_TIME = np.iinfo(np.int64).min
"""`times` entry of an event whose time is unknown."""


@dataclass(frozen=True)
class Histories:
    """Events of U users, user after user, each in time order (ties keep file order).

    User u's events are `offsets[u]:offsets[u + 1]` of the E-long arrays.
    """

    user_ids: npt.NDArray[np.str_]
    """[U] external ids."""
    offsets: IntArray
    """[U + 1]."""
    item_rows: IntArray
    """[E] rows of the catalogue."""
    ratings: FloatArray
    """[E] in the data's own scale; NaN where there is none."""
    times: IntArray
    """[E] UTC seconds; NO_TIME where unknown."""
    event_rows: IntArray
    """[E] rows of the interaction table; -1 for events that are not in it."""

    def __len__(self) -> int:
        return len(self.user_ids)

    @property
    def num_events(self) -> int:
        return int(self.offsets[-1])

    @property
    def lengths(self) -> IntArray:
        return np.diff(self.offsets)

    def items_of(self, user: int) -> IntArray:
        return self.item_rows[self.offsets[user] : self.offsets[user + 1]]

    def owners(self) -> IntArray:
        """[E] the user position of every event."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def select(self, users: IntArray | Sequence[int]) -> Histories:
        """The histories of `users`, in that order."""
        chosen = np.asarray(users, dtype=np.int64)
        return self._gather(chosen, self.offsets[chosen], self.lengths[chosen])

    def slice(self, start: int, stop: int) -> Histories:
        return self.select(np.arange(start, min(stop, len(self))))

    def first(self, counts: IntArray | int) -> Histories:
        """Each user's first `counts` events; a negative count drops that many from the end."""
        wanted = np.broadcast_to(np.asarray(counts, dtype=np.int64), self.lengths.shape)
        kept = np.where(wanted < 0, self.lengths + wanted, np.minimum(wanted, self.lengths))
        return self._gather(np.arange(len(self)), self.offsets[:-1], np.maximum(kept, 0))

    def last(self, count: int) -> Histories:
        """Each user's latest `count` events."""
        kept = np.minimum(self.lengths, count)
        return self._gather(np.arange(len(self)), self.offsets[1:] - kept, kept)

    def with_rows_below(self, stop: int) -> Histories:
        """Each user's events with the first `stop` items of the catalogue, in their order."""
        kept = self.item_rows < stop
        if kept.all():
            return self
        lengths = np.bincount(self.owners()[kept], minlength=len(self))
        return Histories(
            self.user_ids,
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            self.item_rows[kept],
            self.ratings[kept],
            self.times[kept],
            self.event_rows[kept],
        )

    def _gather(self, users: IntArray, starts: IntArray, lengths: IntArray) -> Histories:
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        events = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Histories(
            self.user_ids[users],
            offsets,
            self.item_rows[events],
            self.ratings[events],
            self.times[events],
            self.event_rows[events],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Histories]) -> Histories:
        """The users of all parts, one part after the other."""
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(
            np.concatenate([part.user_ids for part in parts]),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate([part.item_rows for part in parts]),
            np.concatenate([part.ratings for part in parts]),
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.event_rows for part in parts]),
        )

    @classmethod
    def from_owners(cls, owners: IntArray, item_rows: IntArray) -> Histories:
        """Histories of bare item rows: `owners` [E] numbers the users, each one's events side by side."""
        users, starts = np.unique(owners, return_index=True)
        order = np.argsort(starts)
        flat = np.asarray(item_rows, dtype=np.int64)
        return cls(
            users[order].astype(np.str_),
            np.concatenate([starts[order], [len(flat)]]).astype(np.int64),
            flat,
            np.full(len(flat), np.nan, dtype=np.float32),
            np.full(len(flat), NO_TIME, dtype=np.int64),
            np.full(len(flat), -1, dtype=np.int64),
        )

    @classmethod
    def from_lists(
        cls, item_rows: Sequence[Sequence[int]], user_ids: Sequence[str] | None = None
    ) -> Histories:
        """Histories of bare item rows: no ratings, no times."""
        offsets = np.concatenate([[0], np.cumsum([len(rows) for rows in item_rows])]).astype(np.int64)
        flat = np.array([row for rows in item_rows for row in rows], dtype=np.int64)
        names = user_ids if user_ids is not None else [str(user) for user in range(len(item_rows))]
        return cls(
            np.array(names, dtype=np.str_),
            offsets,
            flat,
            np.full(len(flat), np.nan, dtype=np.float32),
            np.full(len(flat), NO_TIME, dtype=np.int64),
            np.full(len(flat), -1, dtype=np.int64),
        )


@dataclass(frozen=True)
class Cases:
    """N questions with a known answer: after this history, which item came next?"""

    histories: Histories
    """Everything the model may see, the validation item included when the case is a test case."""
    target_rows: IntArray
    """[N] the held-out item; -1 when it is not in the catalogue (always a miss)."""
    target_events: IntArray
    """[N] its row in the interaction table: rating, review and time of the answer."""

    def __len__(self) -> int:
        return len(self.histories)

    def select(self, rows: IntArray) -> Cases:
        return Cases(self.histories.select(rows), self.target_rows[rows], self.target_events[rows])


@dataclass(frozen=True)
class Split:
    """What may be learned from, what to choose by, and what to report."""

    name: str
    train: Histories
    valid: Cases
    test: Cases
    num_items: int
    trained_items: npt.NDArray[np.bool_]
    """[num_items] True for items that occur in `train`."""
