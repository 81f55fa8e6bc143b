"""Features of the second stage, of the candidates alone: counts, context, and what the history is like."""

# N candidates, n events of one history

from __future__ import annotations

import numpy as np

from unimp.core.products import matrix_vector
from unimp.data.histories import FloatArray, IntArray
from unimp.fusion.catalogue import Named
from unimp.fusion.foretold import foretold_by_last, foretold_by_others
from unimp.fusion.history_view import HistoryView
from unimp.fusion.relations import BOUGHT, NEXT, Grouped, Relations


def shortlist_features(relations: Relations, past: HistoryView, rows: IntArray, logits: FloatArray) -> Named:
    """Of the candidate `rows`, in the logit's order; `logits`: [N] falling."""
    yield "logit", logits
    yield "logit rank", np.arange(len(rows))
    yield from shared(relations, past, rows)
    for name, relation in ((BOUGHT, relations.log_graphs[BOUGHT]), *relations.likenesses.items()):
        cells = relation.cells(past.rows, rows)
        yield f"{name}: last basket", matrix_vector(cells.T, past.basket)
        yield f"{name}: second best", np.partition(cells, -2, axis=0)[-2] if len(past) > 1 else 0.0
        yield f"{name}: plain mean", cells.mean(axis=0)
    bought, after = relations.log_graphs[BOUGHT], relations.log_graphs[NEXT]
    yield f"{BOUGHT}: events related", (bought.cells(past.rows, rows) > 0).mean(axis=0)
    yield f"{NEXT}: best", after.cells(past.rows, rows).max(axis=0)
    yield "before: best", after.cells(rows, past.rows).max(axis=1)
    for grouped in relations.grouped:
        yield from group(relations, grouped, past, rows)
    if relations.prices is not None:
        own, theirs = relations.prices[past.rows], relations.prices[rows]
        yield "price", theirs
        yield "price: of history", past.weights @ own
        yield "price: spread of history", own.std()
        yield "price: distance to last", theirs - own[-1]
    yield from history(relations, past)


def shared(relations: Relations, past: HistoryView, rows: IntArray) -> Named:
    """How many groups a candidate shares with an event: the same garment in another colour shares most."""
    equal = np.zeros((len(past), len(rows)), dtype=np.float32)
    for grouped in relations.grouped:
        own = grouped.codes[past.rows]
        equal += (own[:, None] == grouped.codes[rows]) & (own < grouped.groups.size)[:, None]
    yield "shared groups: best", equal.max(axis=0)
    yield "shared groups: mean", past.weights @ equal
    yield "shared groups: last", equal[-1]


def group(relations: Relations, grouped: Grouped, past: HistoryView, rows: IntArray) -> Named:
    """A candidate within its group, and how well sharing the group foretold this user's earlier choices."""
    name, size, n = grouped.groups.name, grouped.groups.size, len(past)
    own, theirs = grouped.codes[past.rows], grouped.codes[rows]
    counts = np.bincount(own, minlength=size + 1)
    counts[size] = 0
    yield f"{name}: popularity", grouped.popularity[theirs]
    yield f"{name}: share of popularity", relations.popularity[rows] - grouped.popularity[theirs]
    yield f"{name}: agreement of the history", (counts[own] - 1).clip(0).sum() / max(n * (n - 1), 1)
    if grouped.affinity is not None:
        cells = grouped.affinity[own[:, None], theirs[None]]
        yield f"{name}: goes best with", cells.max(axis=0)
        yield f"{name}: goes with last", cells[-1]


def history(relations: Relations, past: HistoryView) -> Named:
    """What is the same for every candidate: trees read the rest in its light."""
    n = len(past)
    yield "events", n
    yield "baskets", past.baskets
    yield "events of last basket", int(past.recent.sum())
    yield "popularity of history", past.weights @ relations.popularity[past.rows]
    for name, relation in relations.likenesses.items():
        yield f"{name}: of history", relation.cells(past.rows, past.rows).sum() / max(n * (n - 1), 1)
    if relations.personal is not None:
        for name, relation in relations.likenesses.items():
            yield f"{name}: foretold", foretold_by_others(relation.rows(past.rows), past)
        after = relations.log_graphs[NEXT].rows(past.rows)
        yield f"{NEXT}: foretold", foretold_by_last(after, past)
        yield "no events: of history", relations.personal.unseen[past.rows].mean()
        if relations.personal.levels is not None:
            yield "price level: spread of history", relations.personal.levels[past.rows].std()


def model_features(model: FloatArray, rows: IntArray) -> Named:
    """Where the method's log-probabilities, [I], put the candidates."""
    own = model[rows]
    yield "model rank", np.log1p(np.searchsorted(np.sort(-model), -own))
    yield "model below best", own - model.max()
