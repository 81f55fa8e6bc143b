"""What the model reads of a user: the data's history, then the stored events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unimp.answer import RankedItem
from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import NO_TIME, FloatArray, Histories, IntArray
from unimp.personalizer import Personalizer
from unimp.serve.store.store import UserLog

OVERHEAD = 1000
"""Bytes of a past beside its numbers."""


@dataclass(frozen=True)
class Past:
    """One user's events, oldest first, as parallel arrays."""

    item_rows: IntArray
    ratings: FloatArray
    """NaN where there is none."""
    times: IntArray
    event_rows: IntArray
    """Rows of the data's interaction table; -1 for stored events."""
    user: str | None = None
    """Whose it is; None for a history that was given."""
    whole: bool = True
    """False where stored events are left out: their items are not known yet."""

    @property
    def num_bytes(self) -> int:
        arrays = (self.item_rows, self.ratings, self.times, self.event_rows)
        return sum(array.nbytes for array in arrays) + OVERHEAD

    def item_ids(self, catalog: Catalog) -> list[str]:
        return [catalog.item_ids[row] for row in self.item_rows.tolist()]

    @classmethod
    def of_items(cls, rows: Sequence[int]) -> Past:
        """A bare history."""
        return cls._stored(rows, [float("nan")] * len(rows), [NO_TIME] * len(rows))

    @classmethod
    def of_histories(cls, one: Histories) -> Past:
        """Of a single user."""
        return cls(one.item_rows, one.ratings, one.times, one.event_rows)

    @classmethod
    def _stored(cls, rows: Sequence[int], ratings: Sequence[float], times: Sequence[int]) -> Past:
        return cls(
            np.array(rows, dtype=np.int64),
            np.array(ratings, dtype=np.float32),
            np.array(times, dtype=np.int64),
            np.full(len(rows), -1, dtype=np.int64),
        )

    @classmethod
    def of_user(cls, dataset: Dataset, user: str, log: UserLog) -> Past:
        """The data's history unless the user is forgotten, then stored events of items of the catalogue."""
        row_of = dataset.catalog.row_of
        events = [event for event in log.events if event.item_id in row_of]
        whole = len(events) == len(log.events)
        stored = cls._stored(
            [row_of[event.item_id] for event in events],
            [float("nan") if event.rating is None else event.rating for event in events],
            [event.time for event in events],
        )
        position = dataset.interactions.user_position.get(user)
        if position is None or log.forgotten:
            return replace(stored, user=user, whole=whole)
        of_data = dataset.interactions.histories.select([position])
        return cls(
            np.concatenate([of_data.item_rows, stored.item_rows]),
            np.concatenate([of_data.ratings, stored.ratings]),
            np.concatenate([of_data.times, stored.times]),
            np.concatenate([of_data.event_rows, stored.event_rows]),
            user,
            whole,
        )


@dataclass(frozen=True)
class Remembering(Personalizer):
    """A personalizer for one user, whose history, ratings included, the service knows."""

    past: Past

    def histories(self, history: Sequence[str] | None = None, user: str | None = None) -> Histories:
        """The user's, whatever is given."""
        return together([self.past])

    def best(self, scores: FloatArray, k: int, *, exclude_history: bool) -> tuple[RankedItem, ...]:
        """The k best of [num_items] scores."""
        return self._best(scores, self.histories(), k, exclude_history)


def together(pasts: Sequence[Past]) -> Histories:
    """Side by side, for one call of the model; a history that was given has the empty user id."""
    lengths = [len(past.item_rows) for past in pasts]
    return Histories(
        np.array([past.user or "" for past in pasts], dtype=np.str_),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([past.item_rows for past in pasts]),
        np.concatenate([past.ratings for past in pasts]),
        np.concatenate([past.times for past in pasts]),
        np.concatenate([past.event_rows for past in pasts]),
    )
