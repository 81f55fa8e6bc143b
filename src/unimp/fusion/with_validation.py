"""The log as it stands once the validation items are known: what relations are counted on for the test."""

from __future__ import annotations

import numpy as np

from unimp.data.histories import Cases, Histories


def with_validation(train: Histories, valid: Cases) -> Histories:
    """Every validation user's history with its target behind it, and the training users who have no case.

    A target takes the time of the event before it: cases do not carry their targets' times, and popularity
    about a time asks for no more.
    """
    asked = valid.select(np.flatnonzero((valid.target_rows >= 0) & (valid.histories.lengths > 0)))
    others = train.select(np.flatnonzero(~np.isin(train.user_ids, asked.histories.user_ids)))
    return joined(others, extended(asked))


def extended(cases: Cases) -> Histories:
    """Each history with its target as the last event."""
    before = cases.histories
    ends = before.offsets[1:]
    last = ends - 1
    return Histories(
        before.user_ids,
        before.offsets + np.arange(len(before) + 1),
        np.insert(before.item_rows, ends, cases.target_rows),
        np.insert(before.ratings, ends, np.float32(np.nan)),
        np.insert(before.times, ends, before.times[last]),
        np.insert(before.event_rows, ends, cases.target_events),
    )


def joined(first: Histories, second: Histories) -> Histories:
    """The users of both, one after the other."""
    return Histories(
        np.concatenate([first.user_ids, second.user_ids]),
        np.concatenate([first.offsets, second.offsets[1:] + first.num_events]),
        np.concatenate([first.item_rows, second.item_rows]),
        np.concatenate([first.ratings, second.ratings]),
        np.concatenate([first.times, second.times]),
        np.concatenate([first.event_rows, second.event_rows]),
    )
