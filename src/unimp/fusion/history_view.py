"""`HistoryView`: one history as features read it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unimp.data.histories import NO_TIME, FloatArray, Histories, IntArray

MOST_EVENTS = 200
"""Of a longer history the latest events are read."""


@dataclass(frozen=True)
class HistoryView:
    """The latest events, and how much each counts."""

    rows: IntArray
    """[n] item rows, oldest first; n > 0."""
    weights: FloatArray
    """[n] recency weights, summing to 1."""
    recent: npt.NDArray[np.bool_]
    """[n] events at the time of the last one; all of them False where times are unknown."""
    baskets: int
    """Different times; 0 where unknown."""
    time: int
    """Of the last event; NO_TIME where unknown."""

    @classmethod
    def of(cls, histories: Histories, user: int, decay: float) -> HistoryView:
        """`decay`: each step back counts this much less."""
        start, stop = histories.offsets[user], histories.offsets[user + 1]
        start = max(start, stop - MOST_EVENTS)
        rows, times = histories.item_rows[start:stop], histories.times[start:stop]
        weights = decay ** np.arange(len(rows))[::-1]
        known = times[-1] != NO_TIME
        recent = (times == times[-1]) & known
        baskets = len(np.unique(times)) if known else 0
        return cls(rows, (weights / weights.sum()).astype(np.float32), recent, baskets, int(times[-1]))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def basket(self) -> FloatArray:
        """[n] equal weights of the events at the last time, zeros where times are unknown."""
        return self.recent.astype(np.float32) / np.float32(max(int(self.recent.sum()), 1))
