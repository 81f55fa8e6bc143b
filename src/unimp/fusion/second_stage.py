"""`LearnedStage`: the learned fusion as the last word on a run's recommendations."""

# U users, I items that training knew

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

import numpy as np

from unimp.answer import MethodTrainingData, Ranker
from unimp.data.histories import Cases, FloatArray, Histories, IntArray
from unimp.fusion.config import FusionConfig, SecondStageConfig
from unimp.fusion.evidence import evidence, latest_once
from unimp.fusion.features import MODEL, Features
from unimp.fusion.fitting import fit_learned, usable
from unimp.fusion.fused import FusionMaker
from unimp.fusion.learned import LearnedFusion, contributions
from unimp.fusion.probabilities import ScoreStore
from unimp.fusion.relations import Relations
from unimp.inference.second_stage import Reason
from unimp.metrics.ranking import rank_cases, ranking_metrics

DENSE_ITEMS = 2_000
"""Up to so many items a run's relations are plain arrays: ten of them take 160 MB."""
IMPERSONAL = (MODEL, "popularity", "no events")
"""Beginnings of features that say nothing of how an item stands to a history."""


@dataclass
class LearnedStage:
    """Scores of the fitted ranker; it comes by its relations when the first answer needs them."""

    learned: LearnedFusion
    num_items: int
    exclude_history: bool
    count: Callable[[], Relations]
    """Counts the relations to rank by, or reads them."""
    _features: Features | None = field(default=None, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @property
    def features(self) -> Features:
        with self._lock:
            if self._features is None:
                self._features = Features(self.count(), with_model=True)
            return self._features

    def prepare(self) -> None:
        """Come by the relations now."""
        _ = self.features

    def score(
        self, histories: Histories, log_probabilities: FloatArray, left_out: IntArray, *, exclude: bool
    ) -> FloatArray:
        """[U, I], see `SecondStage`: the trees' score of the first items, below them the linear stage's."""
        known = left_out[left_out < self.num_items]
        scores, lists, ranked = self.learned.ranked(
            self.features, histories, log_probabilities, known, exclude=exclude
        )
        for scores_I, rows, values in zip(scores, lists, ranked, strict=False):
            # What is not re-ranked stays behind, in the order that it has.
            scores_I += values.min() - 1 - scores_I.max()
            scores_I[rows] = values
        return scores

    def reasons(self, history: Histories, log_probabilities_N: FloatArray, item_row: int) -> list[Reason]:
        """Relations that speak for the item after one user's history, strongest first: `same brand`."""
        found = contributions(self.features, self.learned, history, log_probabilities_N, item_row)
        names = [part.relation for part in found if not part.relation.startswith(IMPERSONAL)]
        rows = latest_once(history.items_of(0))
        return [evidence(self.features.relations, name, rows, item_row) for name in names]


@dataclass(frozen=True)
class StageChoice:
    """What validation says of the closed weights and of the learned ranker."""

    stage: LearnedStage | None
    """None: the closed weights serve."""
    closed: float
    """NDCG@5 of the users that the ranker was fitted on."""
    learned: float
    """The same of the ranker, each user judged by what was fitted without it."""


def choose_stage(
    data: MethodTrainingData,
    alone: Ranker,
    mixed: Ranker,
    config: SecondStageConfig,
    pictures: Callable[[], FloatArray | None],
    *,
    show: bool = False,
) -> StageChoice | None:
    """Fit the ranker over `alone`, the model; keep it where asked, or where it beats `mixed` on validation.

    None where nothing is fitted: the recipe says `closed`, or `auto` meets too few users or too many items.
    pictures: [I, F] unit rows of any encoder. DataError for `learned` with too few users.
    """
    settings, valid, exclude = config.learned(), data.valid, data.exclude_history
    users = usable(valid, settings, exclude=exclude)
    few, many = len(users) < 2 * settings.folds, len(data.catalog) > config.most_items
    if config.kind == "closed" or (config.kind == "auto" and (few or many)):
        return None
    maker = FusionMaker(data, pictures=pictures, dense_items=DENSE_ITEMS, show=show)
    features = Features(maker.relations(settings), with_model=True)
    scores = ScoreStore(alone, valid.histories, len(data.catalog))
    fitted = fit_learned(features, valid, scores, settings, exclude=exclude, show=show)
    reached = float(np.mean(fitted.reached.trees)) if fitted.reached.trees else fitted.reached.logit
    closed = headline(mixed, valid.select(np.sort(users)), exclude)
    if config.kind == "auto" and reached <= closed:
        return StageChoice(None, closed, reached)
    stage = LearnedStage(fitted, len(data.catalog), exclude, partial(serving, maker, settings))
    return StageChoice(stage, closed, reached)


def headline(ranker: Ranker, cases: Cases, exclude: bool) -> float:
    """NDCG@5 over the full catalogue."""
    return ranking_metrics(rank_cases(ranker, cases, exclude_history=exclude), (5,))["NDCG@5"]


def serving(maker: FusionMaker, config: FusionConfig) -> Relations:
    """Counted on the validation items too, where the settings say so."""
    return maker.relations_with_validation(config) if config.refit else maker.relations(config)
