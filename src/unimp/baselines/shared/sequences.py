"""Training windows over histories, and padded batches of similar length."""

# B windows, T events

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unimp.data.histories import Histories, IntArray


@dataclass(frozen=True)
class Windows:
    """W stretches of consecutive events of one user each."""

    item_rows: IntArray
    """[E] the events of all histories."""
    starts: IntArray
    """[W] first event."""
    lengths: IntArray
    """[W] number of events."""
    times: IntArray
    """[E] UTC seconds; NO_TIME where unknown."""

    def __len__(self) -> int:
        return len(self.starts)

    def padded(self, chosen: IntArray) -> IntArray:
        """[B, T] item rows, padded on the right with row 0, which callers tell apart by the lengths."""
        return self.lay_out(self.item_rows, chosen)

    def padded_times(self, chosen: IntArray) -> IntArray:
        """[B, T] the times of the same events, padded with 0."""
        return self.lay_out(self.times, chosen)

    def lay_out(self, values: IntArray, chosen: IntArray) -> IntArray:
        """[B, T] the windows' part of values [E], padded on the right with 0."""
        lengths = self.lengths[chosen]
        steps = np.arange(lengths.max(initial=0))
        events = self.starts[chosen][:, None] + steps
        real = steps < lengths[:, None]
        return np.where(real, values[np.where(real, events, 0)], 0)


def training_windows(histories: Histories, max_targets: int) -> Windows:
    """Cut every history, from its end, into windows in which each event but the first is a target.

    Neighbouring windows share one event, so every event of a user but the very first is a target exactly once
    and no row per prefix is made. Users with a single event give none.
    """
    counts = -(-np.maximum(histories.lengths - 1, 0) // max_targets)
    owners = np.repeat(np.arange(len(histories)), counts)
    nth_from_end = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    stops = histories.offsets[1:][owners] - nth_from_end * max_targets
    starts = np.maximum(stops - max_targets - 1, histories.offsets[:-1][owners])
    return Windows(histories.item_rows, starts, stops - starts, histories.times)


def whole_windows(histories: Histories, max_events: int) -> Windows:
    """Each user's latest `max_events` events as one window, in the order of the users."""
    latest = histories.last(max_events)
    return Windows(latest.item_rows, latest.offsets[:-1], latest.lengths, latest.times)


def batches_by_length(lengths: IntArray, budget: int, random: np.random.Generator) -> Iterator[IntArray]:
    """Rows in batches of at most `budget` events, padding included, each batch of nearly equal lengths.

    Rows of equal length are shuffled, and so are the batches.
    """
    order = random.permutation(len(lengths))
    order = order[np.argsort(lengths[order], kind="stable")]
    batches, start = [], 0
    while start < len(order):
        # Lengths rise, so the longest row of a batch is its last: find how many still fit.
        candidates = lengths[order[start : start + budget]]
        fits = candidates * np.arange(1, len(candidates) + 1) <= budget
        stop = start + max(1, int(fits.sum()))
        batches.append(order[start:stop])
        start = stop
    for batch in random.permutation(len(batches)):
        yield batches[batch]
