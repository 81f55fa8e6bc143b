"""`Features`: both stages' features of a history, as arrays whose rows have names."""

# F features, I items, N candidates

from __future__ import annotations

from functools import cached_property

import numpy as np

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.fusion.catalogue import Named, catalogue_features
from unimp.fusion.history_view import HistoryView
from unimp.fusion.relations import Relations
from unimp.fusion.reranking_features import model_features, shortlist_features

MODEL = "model"
"""Name of the method's log-probability among the features."""


class Features:
    """Makes features from relations and, `with_model`, from a method's log-probabilities."""

    def __init__(self, relations: Relations, *, with_model: bool) -> None:
        self.relations = relations
        self.with_model = with_model

    @cached_property
    def names(self) -> tuple[str, ...]:
        """[F] of the first stage."""
        named = tuple(name for name, _ in catalogue_features(self.relations, self._anybody))
        return (*named, MODEL) if self.with_model else named

    @cached_property
    def close_names(self) -> tuple[str, ...]:
        """[F] of the second stage, without the first's."""
        row, logit = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32)
        named = [name for name, _ in shortlist_features(self.relations, self._anybody, row, logit)]
        if self.with_model:
            named += [name for name, _ in model_features(self.relations.popularity, row)]
        return tuple(named)

    @cached_property
    def _anybody(self) -> HistoryView:
        """Names do not depend on whose history it is."""
        return HistoryView.of(Histories.from_lists([[0]]), 0, 1.0)

    def catalogue(self, past: HistoryView, model: FloatArray | None) -> FloatArray:
        """[F, I] of the first stage; `model`: [I] the method's log-probabilities."""
        out = np.empty((len(self.names), self.relations.num_items), dtype=np.float32)
        place = fill(out, 0, catalogue_features(self.relations, past))
        if self.with_model:
            assert model is not None
            place = fill(out, place, iter([(MODEL, model)]))
        assert place == len(out)
        return out

    def close(
        self, past: HistoryView, rows: IntArray, logits: FloatArray, model: FloatArray | None
    ) -> FloatArray:
        """[F, N] of the second stage; `logits`: [N] falling, of the first."""
        out = np.empty((len(self.close_names), len(rows)), dtype=np.float32)
        place = fill(out, 0, shortlist_features(self.relations, past, rows, logits))
        if self.with_model:
            assert model is not None
            place = fill(out, place, model_features(model, rows))
        assert place == len(out)
        return out


def fill(out: FloatArray, place: int, named: Named) -> int:
    """Write features into rows from `place` on; the row after the last."""
    for _, values in named:
        out[place] = values
        place += 1
    return place
