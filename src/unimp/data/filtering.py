"""Which events stay: one per user and item if so wished, then the k-core."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from unimp.data.histories import IntArray
from unimp.data.raw import Deduplication

Mask = npt.NDArray[np.bool_]


def deduplicate(events: pl.DataFrame, rule: Deduplication) -> pl.DataFrame:
    """Of a user's events with the same item, the first or the last in the frame's order; order is kept."""
    if rule == "none":
        return events
    return events.unique(["user", "item_row"], keep=rule, maintain_order=True)


def k_core(users: IntArray, items: IntArray, k: int) -> Mask:
    """[E] True for the largest set of events where each user and each item has at least `k` of them.

    `users` and `items` are [E] small whole numbers. Dropping a user can take an item below `k`, and the
    other way round, so it repeats until nothing changes; the result does not depend on the order.
    """
    kept = np.ones(len(users), dtype=np.bool_)
    while kept.any():
        enough_users = np.bincount(users[kept], minlength=users.max() + 1) >= k
        enough_items = np.bincount(items[kept], minlength=items.max() + 1) >= k
        smaller = kept & enough_users[users] & enough_items[items]
        if smaller.sum() == kept.sum():
            break
        kept = smaller
    return kept
