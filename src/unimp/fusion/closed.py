"""`ClosedFusion`: a method's log-probabilities plus closed forms, their weights found on validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from unimp.data.histories import Cases, FloatArray, Histories, IntArray
from unimp.features.item_graph import user_item_matrix
from unimp.fusion.probabilities import ScoreStore
from unimp.fusion.relations import BOUGHT, LINEAR, WORDS, Relations
from unimp.fusion.structure import StructureConfig
from unimp.fusion.weights import coordinate_search, ranking_quality
from unimp.inference.score_sources import POPULARITY, SourceWeight
from unimp.metrics.ranking import mask_history

SEARCHED = StructureConfig(
    # The largest first: without a model the first source is the yardstick of the others, whatever its weight.
    weights=(64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.25),
    popularity_weights=(-0.8, -0.4, -0.2, -0.1, 0.1, 0.2, 0.4, 0.8),
    recencies=(1.0, 0.9, 0.8, 0.6, 0.4),
)
"""What the search tries of every closed form."""
CASES_AT_ONCE = 2**25
"""Entries of one [U, I] array of the search: 128 MiB; more users than fit are left out of it."""


@dataclass(frozen=True)
class ClosedFusion:
    """log P(item) of the method + Σ weight · closed form."""

    terms: Mapping[str, SourceWeight]
    reached: Mapping[str, float]
    """Validation NDCG@5 after each step of the search."""

    def score(self, relations: Relations, histories: Histories, model: FloatArray | None) -> FloatArray:
        """[U, I]; `model`: [U, I] the method's log-probabilities."""
        total = np.zeros((len(histories), relations.num_items), dtype=np.float32)
        if model is not None:
            total += model
        for name, term in self.terms.items():
            total += np.float32(term.weight) * unit(relations, name, term.recency, histories)
        return total


def unit(relations: Relations, name: str, recency: float, histories: Histories) -> FloatArray:
    """[U, I] (or [1, I]) of one closed form at weight 1: a sum over the history, likeness by its mean."""
    if name == POPULARITY:
        return relations.popularity[None]
    users = user_item_matrix(histories, relations.num_items, recency)
    graph = relations.likenesses[name] if name == WORDS else relations.log_graphs[name]
    if name == WORDS:
        totals = np.asarray(users.sum(axis=1)).ravel()
        users = (sp.diags((1.0 / np.maximum(totals, 1e-9)).astype(np.float32)) @ users).tocsr()
    found = users @ graph.weights
    return np.asarray(found if isinstance(found, np.ndarray) else found.toarray(), dtype=np.float32)


def sources(relations: Relations) -> tuple[str, ...]:
    """Those that the data have, strongest first."""
    graph = LINEAR if LINEAR in relations.log_graphs else BOUGHT
    return (graph, *(name for name in (WORDS,) if name in relations.likenesses), POPULARITY)


def fit_closed(
    relations: Relations, cases: Cases, users: IntArray, scores: ScoreStore | None, *, exclude: bool
) -> ClosedFusion:
    """Coordinate search, twice round, for the best NDCG@5 of the first `users` that fit in memory."""
    chosen = users[: max(1, CASES_AT_ONCE // relations.num_items)]
    held = cases.select(chosen)
    alone = np.zeros((len(held), relations.num_items), dtype=np.float32)
    if scores is not None:
        alone += scores.values[chosen]

    if exclude:
        mask_history(alone, held.histories)
    fitted = coordinate_search(
        alone,
        sources(relations),
        lambda name, recency: unit(relations, name, recency, held.histories),
        lambda values: ranking_quality(values, held),
        SEARCHED,
    )
    first = "model alone" if scores is not None else "nothing"
    reached = dict(zip([first, *list(fitted.reached)[1:]], fitted.reached.values(), strict=True))
    return ClosedFusion(
        fitted.fusion_weights.shares, {name: round(value, 6) for name, value in reached.items()}
    )
