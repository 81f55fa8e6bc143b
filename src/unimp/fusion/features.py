"""Features of (history, candidate): each relation by last event, mean with recency, and best."""

# F features, I items, N candidates, n events of one history

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from unimp.data.histories import NO_TIME, FloatArray, Histories, IntArray
from unimp.fusion.relations import BOUGHT, LINEAR, NEXT, SECOND, SHORT, Relations

MOST_EVENTS = 200
"""Of a longer history the latest events are read."""
FLOORS = {BOUGHT: 1e-3, SHORT: 1e-4, LINEAR: 1e-4, NEXT: 1e-3, SECOND: 1e-3}
"""Added to (or the least of) a graph's score before its logarithm."""


@dataclass(frozen=True)
class HistoryView:
    """One history as features read it."""

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
        start, stop = histories.offsets[user], histories.offsets[user + 1]
        start = max(start, stop - MOST_EVENTS)
        rows, times = histories.item_rows[start:stop], histories.times[start:stop]
        weights = decay ** np.arange(len(rows))[::-1]
        known = times[-1] != NO_TIME
        recent = (times == times[-1]) & known
        baskets = len(np.unique(times)) if known else 0
        return cls(rows, (weights / weights.sum()).astype(np.float32), recent, baskets, int(times[-1]))


class Features:
    """Makes the features of both stages from relations."""

    def __init__(self, relations: Relations, *, with_model: bool) -> None:
        self.relations = relations
        self.with_model = with_model

    # ---- first stage: every item of the catalogue

    @cached_property
    def names(self) -> tuple[str, ...]:
        """[F] names of the first stage."""
        r = self.relations
        names = []
        for name in r.log_graphs:
            names += [f"{name}: {how}" for how in self.log_hows(name)]
        for name in r.likenesses:
            names += [f"{name}: {how}" for how in ("mean", "best", "last")]
        for grouped in r.grouped:
            names += [f"{grouped.groups.name}: {how}" for how in ("mean", "last")]
            if grouped.affinity is not None:
                names.append(f"{grouped.groups.name}: goes with")
            names.append(f"{grouped.groups.name}: any")
        if r.prices is not None:
            names += ["price: distance", "price: distance squared"]
        names += ["popularity", "popularity squared", "popularity among last events"]
        if r.tides is not None:
            names.append("popularity at the time")
        return (*names, "model") if self.with_model else tuple(names)

    def log_hows(self, name: str) -> tuple[str, ...]:
        if name == LINEAR:
            return ("sum", "log sum", "log recent sum")
        if name in (NEXT, SECOND, SHORT):
            return ("mean", "last")
        return ("mean", "best", "last")

    def catalogue(self, past: HistoryView, model: FloatArray | None) -> FloatArray:
        """[F, I] of one history; `model`: [I] the method's log-probabilities."""
        r = self.relations
        out = np.empty((len(self.names), r.num_items), dtype=np.float32)
        place = 0

        def put(values: npt.ArrayLike) -> None:
            nonlocal place
            out[place] = values
            place += 1

        for name, relation in r.log_graphs.items():
            rows, floor = relation.rows(past.rows), FLOORS[name]
            if name == LINEAR:
                total = rows.sum(axis=0)
                put(64 * total)
                put(np.log(np.maximum(total, floor)))
                put(np.log(np.maximum(past.weights @ rows * len(rows), floor)))
                continue
            put(np.log(past.weights @ rows + floor))
            if name == BOUGHT:
                put(rows.max(axis=0))
            put(np.log(rows[-1] + floor))
        for relation in r.likenesses.values():
            rows = relation.rows(past.rows)
            put(past.weights @ rows)
            put(rows.max(axis=0))
            put(rows[-1])
        for grouped in r.grouped:
            codes, size = grouped.codes, grouped.groups.size
            own = codes[past.rows]
            share = np.bincount(own, weights=past.weights, minlength=size + 1).astype(np.float32)
            share[size] = 0.0
            by_item = share[codes]
            put(by_item)
            put(((codes == own[-1]) & (own[-1] < size)).astype(np.float32))
            if grouped.affinity is not None:
                put((past.weights @ grouped.affinity[own])[codes])
            put((by_item > 0).astype(np.float32))
        if r.prices is not None:
            distance = np.abs(r.prices - past.weights @ r.prices[past.rows])
            put(-distance)
            put(-distance * distance)
        put(r.popularity)
        put(r.popularity * r.popularity / 5)
        put(r.late)
        if r.tides is not None:
            put(r.tides.at(past.time))
        if self.with_model:
            assert model is not None
            put(model)
        assert place == len(out)
        return out

    # ---- second stage: the candidates

    @cached_property
    def close_names(self) -> tuple[str, ...]:
        """[F2] names of the second stage, without the first's."""
        r = self.relations
        names = ["logit", "logit rank"]
        names += ["shared groups: best", "shared groups: mean", "shared groups: last"]
        for name in (BOUGHT, *r.likenesses):
            names += [f"{name}: last basket", f"{name}: second best", f"{name}: plain mean"]
        names += [f"{BOUGHT}: events related", "next: best", "before: best"]
        for grouped in r.grouped:
            names += [
                f"{grouped.groups.name}: popularity",
                f"{grouped.groups.name}: share of popularity",
                f"{grouped.groups.name}: agreement of the history",
            ]
            if grouped.affinity is not None:
                names += [f"{grouped.groups.name}: goes best with", f"{grouped.groups.name}: goes with last"]
        if r.prices is not None:
            names += ["price", "price: of history", "price: spread of history", "price: distance to last"]
        names += ["events", "baskets", "events of last basket", "popularity of history"]
        for name in r.likenesses:
            names.append(f"{name}: of history")
        if self.with_model:
            names += ["model rank", "model below best"]
        return tuple(names)

    def close(
        self, past: HistoryView, candidates: IntArray, logits: FloatArray, model: FloatArray | None
    ) -> FloatArray:
        """[F2, N]; `logits`: [N] falling, of the first stage; `model`: [I]."""
        r, n, size = self.relations, len(past.rows), len(candidates)
        out = np.empty((len(self.close_names), size), dtype=np.float32)
        place = 0

        def put(values: npt.ArrayLike) -> None:
            nonlocal place
            out[place] = values
            place += 1

        put(logits)
        put(np.arange(size))
        equal = np.zeros((n, size), dtype=np.float32)
        for grouped in r.grouped:
            own = grouped.codes[past.rows]
            equal += (own[:, None] == grouped.codes[candidates]) & (own < grouped.groups.size)[:, None]
        put(equal.max(axis=0))
        put(past.weights @ equal)
        put(equal[-1])
        basket = past.recent.astype(np.float32) / max(int(past.recent.sum()), 1)
        for relation in (r.log_graphs[BOUGHT], *r.likenesses.values()):
            cells = relation.cells(past.rows, candidates)
            put(basket @ cells)
            put(np.partition(cells, n - 2, axis=0)[n - 2] if n > 1 else 0.0)
            put(cells.mean(axis=0))
        put((r.log_graphs[BOUGHT].cells(past.rows, candidates) > 0).mean(axis=0))
        put(r.log_graphs[NEXT].cells(past.rows, candidates).max(axis=0))
        put(r.log_graphs[NEXT].cells(candidates, past.rows).max(axis=1))
        for grouped in r.grouped:
            self._put_group(put, grouped, past, candidates)
        if r.prices is not None:
            own_prices = r.prices[past.rows]
            put(r.prices[candidates])
            put(past.weights @ own_prices)
            put(own_prices.std())
            put(r.prices[candidates] - own_prices[-1])
        put(n)
        put(past.baskets)
        put(int(past.recent.sum()))
        put(past.weights @ r.popularity[past.rows])
        for relation in r.likenesses.values():
            own_cells = relation.cells(past.rows, past.rows)
            put(own_cells.sum() / max(n * (n - 1), 1))
        if self.with_model:
            assert model is not None
            own = model[candidates]
            put(np.log1p(np.searchsorted(np.sort(-model), -own)))
            put(own - model.max())
        assert place == len(out)
        return out

    def _put_group(self, put, grouped, past, candidates) -> None:  # type: ignore[no-untyped-def]
        n, size = len(past.rows), grouped.groups.size
        own, theirs = grouped.codes[past.rows], grouped.codes[candidates]
        counts = np.bincount(own, minlength=size + 1)
        counts[size] = 0
        put(grouped.popularity[theirs])
        put(self.relations.popularity[candidates] - grouped.popularity[theirs])
        put((counts[own] - 1).clip(0).sum() / max(n * (n - 1), 1))
        if grouped.affinity is not None:
            cells = grouped.affinity[own[:, None], theirs[None]]
            put(cells.max(axis=0))
            put(cells[-1])
