"""Splits: leave-one-out, last n, new users, new domain, temporal. Each is deterministic by seed."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from unimp.core.errors import DataError
from unimp.data.histories import NO_TIME, Cases, Histories, IntArray, Split

SplitName = Literal["leave-one-out", "last-n", "new-users", "temporal", "new-domain"]


def last_item_cases(histories: Histories) -> Cases:
    """Each user's last event is the answer, everything before it the history; needs two events a user."""
    long_enough = histories.select(np.flatnonzero(histories.lengths >= 2))
    last = long_enough.offsets[1:] - 1
    return Cases(long_enough.first(-1), long_enough.item_rows[last], long_enough.event_rows[last])


def make_split(name: SplitName, train: Histories, valid: Cases, test: Cases, num_items: int) -> Split:
    trained = np.zeros(num_items, dtype=np.bool_)
    trained[train.item_rows] = True
    if not train.num_events or not len(test):
        raise DataError(f"split {name}: nothing left to train on or to test; import with a lower --k-core")
    return Split(name, train, valid, test, num_items, trained)


def held_out_tests(histories: Histories) -> Cases:
    """The test cases of leave-one-out: the last event of each user with three or more."""
    return last_item_cases(histories.select(np.flatnonzero(histories.lengths >= 3)))


def leave_one_out(histories: Histories, num_items: int) -> Split:
    """Last event = test, the one before = validation, the rest = training.

    Users with fewer than three events train only. The history of a test case includes the validation item.
    """
    test = held_out_tests(histories)
    valid = last_item_cases(test.histories)
    kept = histories.lengths - np.where(histories.lengths >= 3, 2, 0)
    return make_split("leave-one-out", histories.first(kept), valid, test, num_items)


def last_n(histories: Histories, num_items: int, *, count: int = 5) -> Split:
    """Each user's last `count` events are test cases, each with everything before it as its history.

    The event before them is the validation target, the rest trains; users with fewer than `count` + 2 events
    train only. The test cases of one user stand side by side, the earliest target first, so a small set of
    users gives `count` times as many cases, and whoever draws users draws blocks of `count` rows.
    """
    long_enough = histories.select(np.flatnonzero(histories.lengths >= count + 2))
    if not len(long_enough):
        raise DataError(f"split last-n: no user has {count + 2} events; use leave-one-out")
    valid = last_item_cases(long_enough.first(-count))
    users = np.repeat(np.arange(len(long_enough)), count)
    places = long_enough.lengths[users] - count + np.tile(np.arange(count), len(long_enough))
    targets = long_enough.offsets[users] + places
    test = Cases(
        long_enough.select(users).first(places),
        long_enough.item_rows[targets],
        long_enough.event_rows[targets],
    )
    kept = histories.lengths - np.where(histories.lengths >= count + 2, count + 1, 0)
    return make_split("last-n", histories.first(kept), valid, test, num_items)


def new_users(histories: Histories, num_items: int, *, seed: int = 0) -> Split:
    """80 % of the users train, 10 % validate, 10 % test; each held user's last item is the answer."""
    order = np.random.default_rng(seed).permutation(len(histories))
    cuts = [round(len(order) * share) for share in (0.8, 0.9)]
    train, valid, test = (np.sort(part) for part in np.split(order, cuts))
    return make_split(
        "new-users",
        histories.select(train),
        last_item_cases(histories.select(valid)),
        last_item_cases(histories.select(test)),
        num_items,
    )


def keep_events(histories: Histories, keep: npt.NDArray[np.bool_]) -> Histories:
    """The histories with only the events where `keep` is True; users left empty are dropped."""
    lengths = np.bincount(histories.owners()[keep], minlength=len(histories))
    users = np.flatnonzero(lengths)
    return Histories(
        histories.user_ids[users],
        np.concatenate([[0], np.cumsum(lengths[users])]),
        histories.item_rows[keep],
        histories.ratings[keep],
        histories.times[keep],
        histories.event_rows[keep],
    )


def new_domain(histories: Histories, num_items: int, held_items: npt.NDArray[np.bool_]) -> Split:
    """Train on the items outside `held_items` ([num_items]), validate there too, test on the held items.

    A test case's history and answer are both of the new domain, so no item of it was seen in training.
    """
    inside = held_items[histories.item_rows]
    known = keep_events(histories, ~inside)
    train = known.first(known.lengths - (known.lengths >= 2))
    test = last_item_cases(keep_events(histories, inside))
    return make_split("new-domain", train, last_item_cases(known), test, num_items)


def temporal(
    histories: Histories, num_items: int, *, valid_share: float = 0.1, test_share: float = 0.1
) -> Split:
    """One global cut in time: train before it, validate and test on each user's first event after it."""
    if not len(histories.times) or (histories.times == NO_TIME).any():
        raise DataError("split temporal: some events have no time; use leave-one-out")
    ordered = np.sort(histories.times)
    valid_cut = ordered[int(len(ordered) * (1 - valid_share - test_share))]
    test_cut = ordered[int(len(ordered) * (1 - test_share))]
    train = keep_events(histories, histories.times < valid_cut)
    return make_split(
        "temporal",
        train,
        first_after(histories, valid_cut, test_cut),
        first_after(histories, test_cut, np.iinfo(np.int64).max),
        num_items,
    )


def first_after(histories: Histories, start: int, stop: int) -> Cases:
    """Each user's first event in [start, stop) that has a history before `start`."""
    before = np.bincount(histories.owners()[histories.times < start], minlength=len(histories)).astype(
        np.int64
    )
    position: IntArray = np.minimum(histories.offsets[:-1] + before, max(histories.num_events - 1, 0))
    has_next = (before > 0) & (before < histories.lengths) & (histories.times[position] < stop)
    users = np.flatnonzero(has_next)
    chosen = histories.select(users).first(before[users])
    return Cases(chosen, histories.item_rows[position[users]], histories.event_rows[position[users]])
