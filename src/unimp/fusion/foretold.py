"""How well each relation foretold a user's earlier choices: whom pictures decide, or words, or the order."""

# I items, n events of one history

from __future__ import annotations

import numpy as np

from unimp.data.histories import FloatArray
from unimp.fusion.history_view import HistoryView

MOST = 4.0
"""Deviations from the mean that count, at most."""


def standardised(scores_I: FloatArray) -> FloatArray:
    """[I] deviations from the mean over the catalogue."""
    found: FloatArray = (scores_I - scores_I.mean()) / (scores_I.std() + np.float32(1e-6))
    return found


def foretold_by_others(rows_NI: FloatArray, past: HistoryView) -> float:
    """Mean standardised score of each event by all others of the history; 0 with fewer than two.

    `rows_NI`: the relation's rows of the events, nothing where an item stands to itself.
    """
    n = len(past)
    if n < 2:
        return 0.0
    total_I = rows_NI.sum(axis=0)
    mean_I = total_I / n
    own = total_I[past.rows] / (n - 1)
    z = (own - mean_I.mean()) / (mean_I.std() + 1e-6)
    return float(np.clip(z, -MOST, MOST).mean())


def foretold_by_last(rows_NI: FloatArray, past: HistoryView) -> float:
    """Mean of the relation from each event to the one after it; 0 with fewer than two."""
    if len(past) < 2:
        return 0.0
    return float(rows_NI[np.arange(len(past) - 1), past.rows[1:]].mean())
