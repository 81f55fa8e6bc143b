"""Which events stay: one per user and item if so wished, then the k-core."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from unimp.data.histories import IntArray
from unimp.data.raw import Deduplication

Mask = npt.NDArray[np.bool_]


def deduplicate(events: pl.DataFrame, rule: Deduplication) -> pl.DataFrame:
    """Of a user's events with the same item, the first or the last in the frame's order; order is kept.

    `exact` drops an event only when an earlier one is the same in every column.
    """
    if rule == "none":
        return events
    if rule == "exact":
        return events.filter(~exact_repeats(events))
    return events.unique(["user", "item_row"], keep=rule, maintain_order=True)


def exact_repeats(events: pl.DataFrame) -> pl.Series:
    """[E] True for an event that equals an earlier one in all; a user's events are in time order."""
    if "timestamp" not in events.columns:
        return ~events.select(pl.struct(pl.all()).is_first_distinct().alias("first"))["first"]
    user, time = pl.col("user"), pl.col("timestamp")
    as_before = (user == user.shift(1)) & time.eq_missing(time.shift(1))
    tied = as_before | as_before.shift(-1)
    # only events of one moment can be the same, and mostly they are few
    at = events.select(tied.fill_null(False).arg_true().alias("at"))["at"]
    repeated = ~events[at].select(pl.struct(pl.all()).is_first_distinct().alias("first"))["first"]
    mask = np.zeros(events.height, dtype=np.bool_)
    mask[at.filter(repeated).to_numpy()] = True
    return pl.Series(mask)


def drop_returned(events: pl.DataFrame) -> pl.DataFrame:
    """Events without those that a return undid: `quantity` says how many were bought, below 0 came back.

    A user's purchases of an item go when nothing of it was kept in the end; rows of returns go always.
    """
    if "quantity" not in events.columns:
        return events
    quantity = pl.col("quantity").fill_null(1)
    kept = quantity.sum().over("user", "item_row") > 0
    return events.filter((quantity > 0) & kept)


def k_core(users: IntArray, items: IntArray, k: int) -> Mask:
    """[E] True for the largest set of events where each user and each item has at least `k` of them.

    `users` and `items` are [E] small whole numbers.
    """
    if not len(users):
        return np.zeros(0, dtype=np.bool_)
    of_users, of_items = core_members(
        lambda: iter([(users, items)]), int(users.max()) + 1, int(items.max()) + 1, k
    )
    return np.asarray(of_users[users] & of_items[items])


def core_members(
    pairs: Callable[[], Iterator[tuple[IntArray, IntArray]]], num_users: int, num_items: int, k: int
) -> tuple[Mask, Mask]:
    """[users] and [items] True for those in the k-core of events that `pairs` gives, part by part.

    Dropping a user can take an item below `k`, and the other way round, so it repeats until nothing changes;
    the result does not depend on the order. Memory: one part of the events.
    """
    users, items = np.ones(num_users, dtype=np.bool_), np.ones(num_items, dtype=np.bool_)
    while True:
        per_user, per_item = np.zeros(num_users, dtype=np.int64), np.zeros(num_items, dtype=np.int64)
        for user, item in pairs():
            kept = users[user] & items[item]
            per_user += np.bincount(user[kept], minlength=num_users)
            per_item += np.bincount(item[kept], minlength=num_items)
        enough_users, enough_items = per_user >= k, per_item >= k
        if bool((per_user[~enough_users] == 0).all() and (per_item[~enough_items] == 0).all()):
            return enough_users, enough_items
        users, items = enough_users, enough_items
