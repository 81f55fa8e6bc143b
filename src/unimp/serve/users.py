"""`UserHistory`: one user's events as the model reads them, the data's first, then the stored ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import NO_TIME, FloatArray, Histories, IntArray
from unimp.serve.store.records import UserLog

OVERHEAD_BYTES = 1000
"""Estimated memory of a history besides its arrays."""


@dataclass(frozen=True)
class UserHistory:
    """One user's events, oldest first, as parallel arrays."""

    item_rows: IntArray
    ratings: FloatArray
    """NaN where there is none."""
    times: IntArray
    event_rows: IntArray
    """Rows of the data's interaction table; -1 for stored events."""
    user: str | None = None
    """None for a history that came with the request."""
    complete: bool = True
    """False where stored events are missing because their items are not in the catalogue yet."""

    @property
    def num_bytes(self) -> int:
        arrays = (self.item_rows, self.ratings, self.times, self.event_rows)
        return sum(array.nbytes for array in arrays) + OVERHEAD_BYTES

    def item_ids(self, catalog: Catalog) -> list[str]:
        return [catalog.item_ids[row] for row in self.item_rows.tolist()]

    @classmethod
    def from_items(cls, rows: Sequence[int]) -> UserHistory:
        """A history without ratings and times."""
        return cls._from_stored(rows, [float("nan")] * len(rows), [NO_TIME] * len(rows))

    @classmethod
    def _from_stored(cls, rows: Sequence[int], ratings: Sequence[float], times: Sequence[int]) -> UserHistory:
        return cls(
            np.array(rows, dtype=np.int64),
            np.array(ratings, dtype=np.float32),
            np.array(times, dtype=np.int64),
            np.full(len(rows), -1, dtype=np.int64),
        )

    @classmethod
    def from_log(cls, dataset: Dataset, user: str, log: UserLog) -> UserHistory:
        """The data's history, unless the user is forgotten, then the stored events of known items."""
        row_of = dataset.catalog.row_of
        logged: list[tuple[str, int, float | None]] = [(met.item_id, met.time, None) for met in log.earlier]
        logged += [(event.item_id, event.time, event.rating) for event in log.events]
        known = [event for event in logged if event[0] in row_of]
        complete = len(known) == len(logged)
        stored = cls._from_stored(
            [row_of[item_id] for item_id, _, _ in known],
            [float("nan") if rating is None else rating for _, _, rating in known],
            [time for _, time, _ in known],
        )
        position = dataset.interactions.user_position.get(user)
        if position is None or log.forgotten:
            return replace(stored, user=user, complete=complete)
        trained = dataset.interactions.histories.select([position])
        return cls(
            np.concatenate([trained.item_rows, stored.item_rows]),
            np.concatenate([trained.ratings, stored.ratings]),
            np.concatenate([trained.times, stored.times]),
            np.concatenate([trained.event_rows, stored.event_rows]),
            user,
            complete,
        )


def stack_histories(users: Sequence[UserHistory]) -> Histories:
    """The histories of several users, in that order, for one call of the model.

    The user id is empty where the history came with the request.
    """
    lengths = [len(user.item_rows) for user in users]
    return Histories(
        np.array([user.user or "" for user in users], dtype=np.str_),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([user.item_rows for user in users]),
        np.concatenate([user.ratings for user in users]),
        np.concatenate([user.times for user in users]),
        np.concatenate([user.event_rows for user in users]),
    )
