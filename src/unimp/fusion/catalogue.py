"""Features of the first stage, of every item of the catalogue: by last event, mean with recency, and best."""

# I items, n events of one history

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from unimp.data.histories import FloatArray
from unimp.fusion.foretold import foretold_by_last, foretold_by_others, standardised
from unimp.fusion.history_view import HistoryView
from unimp.fusion.relations import BOUGHT, LINEAR, NEXT, SECOND, SHORT, Grouped, Relations

Named = Iterator[tuple[str, npt.ArrayLike]]
"""Features by name, each [I] (or [N], of N candidates), or one number for all of them."""
FLOORS = {BOUGHT: 1e-3, SHORT: 1e-4, LINEAR: 1e-4, NEXT: 1e-3, SECOND: 1e-3}
"""Added to (or the least of) a graph's score before its logarithm."""
LEVEL_PRIOR = 0.1
"""Added to the variance of a history's price levels."""
LINEAR_SCALE = 64
"""Brings EASE's sums near the size of the others before they are standardised."""


def catalogue_features(relations: Relations, past: HistoryView) -> Named:
    """All of them, in a fixed order for the same relations."""
    for name in relations.log_graphs:
        yield from linear(relations, past) if name == LINEAR else graph(relations, name, past)
    for name, relation in relations.likenesses.items():
        rows = relation.rows(past.rows)
        yield f"{name}: mean", past.weights @ rows
        if relations.personal is not None:
            mean = standardised(past.weights @ rows)
            yield f"{name}: mean, as it foretold", foretold_by_others(rows, past) * mean
        yield f"{name}: best", rows.max(axis=0)
        yield f"{name}: last", rows[-1]
    for grouped in relations.grouped:
        yield from agreement(grouped, past, personal=relations.personal is not None)
    if relations.prices is not None:
        distance = np.abs(relations.prices - past.weights @ relations.prices[past.rows])
        yield "price: distance", -distance
        yield "price: distance squared", -distance * distance
    yield "popularity", relations.popularity
    yield "popularity squared", relations.popularity**2 / 5
    yield "popularity among last events", relations.late
    if relations.personal is not None:
        yield "no events", relations.personal.unseen
        if relations.personal.levels is not None:
            yield from level(relations.personal.levels, past)
    if relations.by_period is not None:
        yield "popularity at the time", relations.by_period.at(past.time)


def graph(relations: Relations, name: str, past: HistoryView) -> Named:
    """A graph counted on the log, in logarithms."""
    rows, floor = relations.log_graphs[name].rows(past.rows), FLOORS[name]
    yield f"{name}: mean", np.log(past.weights @ rows + floor)
    if name == BOUGHT:
        yield f"{name}: best", rows.max(axis=0)
    yield f"{name}: last", np.log(rows[-1] + floor)
    if name == NEXT and relations.personal is not None:
        yield f"{name}: last, as it foretold", foretold_by_last(rows, past) * np.log(rows[-1] + floor)


def linear(relations: Relations, past: HistoryView) -> Named:
    """EASE, whose weights may be negative and add up over a history."""
    rows, floor = relations.log_graphs[LINEAR].rows(past.rows), FLOORS[LINEAR]
    total = rows.sum(axis=0)
    yield f"{LINEAR}: sum", LINEAR_SCALE * total
    yield f"{LINEAR}: log sum", np.log(np.maximum(total, floor))
    yield f"{LINEAR}: log recent sum", np.log(np.maximum(past.weights @ rows * len(rows), floor))


def level(levels: FloatArray, past: HistoryView) -> Named:
    """How near an item's price level is to the history's, by itself and for how steady the history is."""
    own = levels[past.rows]
    distance = np.square(levels - past.weights @ own)
    yield "price level: distance squared", -distance
    yield "price level: fit", -distance / (own.var() + LEVEL_PRIOR)


def agreement(grouped: Grouped, past: HistoryView, *, personal: bool) -> Named:
    """Whether candidate and history share a group, and whether their groups go together."""
    name, codes, size = grouped.groups.name, grouped.codes, grouped.groups.size
    own = codes[past.rows]
    share = np.bincount(own, weights=past.weights, minlength=size + 1).astype(np.float32)
    share[size] = 0.0
    share_I = share[codes]
    yield f"{name}: mean", share_I
    yield f"{name}: last", (codes == own[-1]) & (own[-1] < size)
    if grouped.affinity is not None:
        yield f"{name}: goes with", (past.weights @ grouped.affinity[own])[codes]
    yield f"{name}: any", share_I > 0
    if personal:
        counts = np.bincount(own, minlength=size + 1)
        pairs = (counts[own[own < size]] - 1).sum() / max(len(past) * (len(past) - 1), 1)
        yield f"{name}: mean, as it foretold", pairs * share_I
