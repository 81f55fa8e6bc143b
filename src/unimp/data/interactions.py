"""`Interactions`: who met which item, when, how it was rated and what was written about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from unimp.core.errors import DataError
from unimp.data.histories import NO_TIME, Histories

COLUMNS: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "item_row": pl.Int64(),
    "timestamp": pl.Int64(),
    "rating": pl.Float32(),
    "summary": pl.String(),
    "review": pl.String(),
}


OPTIONAL = ("timestamp", "rating", "summary", "review")
"""Columns that may have no value at all."""


@dataclass(frozen=True)
class RatingScale:
    """The values a rating can take: `low`, `low + step`, … `high`."""

    low: float
    high: float
    step: float

    @property
    def levels(self) -> list[float]:
        count = round((self.high - self.low) / self.step) + 1
        return [self.low + level * self.step for level in range(count)]


@dataclass(frozen=True)
class Interactions:
    """The event table, grouped by user (users by first appearance in the source), each user in time order.

    Columns: `user_id`, `item_row`, `timestamp` (UTC seconds, null when only the order is known), `rating`
    (null when there is none), `summary` and `review` (null when nothing was written). Ties in time keep the
    order of the source file.
    """

    events: pl.DataFrame
    rating_scale: RatingScale | None = None

    def __post_init__(self) -> None:
        if dict(self.events.schema) != COLUMNS:
            raise DataError(f"interactions: columns are {dict(self.events.schema)}, expected {COLUMNS}")
        if self.events.is_empty():
            raise DataError("interactions: no events left; lower --k-core or check the source")

    def __len__(self) -> int:
        return self.events.height

    @cached_property
    def histories(self) -> Histories:
        """Every user's whole history."""
        ids = self.events["user_id"]
        starts = (ids != ids.shift()).fill_null(True).arg_true().to_numpy()
        names = np.array(ids.gather(starts).to_list(), dtype=np.str_)
        if len(set(names.tolist())) != len(names):
            raise DataError("interactions: a user's events are not contiguous; import the data again")
        return Histories(
            names,
            np.concatenate([starts, [len(ids)]]).astype(np.int64),
            self.events["item_row"].to_numpy().astype(np.int64, copy=False),
            self.events["rating"].fill_null(float("nan")).to_numpy().astype(np.float32, copy=False),
            self.events["timestamp"].fill_null(NO_TIME).to_numpy().astype(np.int64, copy=False),
            np.arange(len(ids), dtype=np.int64),
        )

    @cached_property
    def user_position(self) -> dict[str, int]:
        """user_id -> position in `histories`."""
        return {user_id: user for user, user_id in enumerate(self.histories.user_ids.tolist())}
