"""`PeriodPopularity`: what was popular about the time of an event, where events have times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unimp.data.histories import NO_TIME, FloatArray, Histories, IntArray

MOST_PERIODS = 48


@dataclass(frozen=True)
class PeriodPopularity:
    """Popularity by period."""

    starts: IntArray
    """[P] first second of every period, rising."""
    popularity: FloatArray
    """[P, I] log(1 + training events of the item in the period)."""

    def at(self, time: int) -> FloatArray:
        """[I]; of the first period for what lies before it."""
        period = int(np.searchsorted(self.starts, time, side="right")) - 1
        row: FloatArray = self.popularity[max(period, 0)]
        return row


def popularity_by_period(train: Histories, num_items: int) -> PeriodPopularity | None:
    """Each different time where they are few (days of a week), else periods of equally many events.

    None where an event has no time, or all have the same.
    """
    times = train.times
    if not len(times) or (times == NO_TIME).any():
        return None
    starts = np.unique(times)
    if len(starts) > MOST_PERIODS:
        starts = np.unique(np.quantile(times, np.arange(MOST_PERIODS) / MOST_PERIODS, method="lower"))
    if len(starts) < 2:
        return None
    periods = np.searchsorted(starts, times, side="right") - 1
    cells = np.bincount(periods * num_items + train.item_rows, minlength=len(starts) * num_items)
    counts = cells.reshape(len(starts), num_items)
    return PeriodPopularity(starts.astype(np.int64), np.log1p(counts).astype(np.float32))
