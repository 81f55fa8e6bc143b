"""Ratings in closed form: biases, factors, and what the latest ratings and those of like items add."""

# N cases (a history and an item), R rated events of the N histories, F features, I items, D width, U users

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.tasks.rating.factors import BiasedMF, BiasedMFConfig, sweeping
from unimp.tasks.rating.references import BiasModel, Ratings, look_up, num_rows

HELD = 5
"""Latest events of every user whose ratings the regression is fitted on, each with the events before it."""
LEAST_EVENTS = 2
"""Events that a user keeps before those."""
TARGETS_PER_FEATURE = 20
"""With fewer ratings to fit on, biases and factors answer alone."""
RIDGES = (10.0, 100.0, 1000.0, 10_000.0)
FOLDS = 5
"""Of users: which ridge is best, and whether any is better than none."""
SHRINK_TOGETHER = 5.0
"""Ratings' worth of belief that two items have no raters in common."""
PAIRS_AT_ONCE = 2**17


@dataclass(frozen=True)
class RatingRegression:
    """Biased MF plus w · features, w by a ridge on held-back training ratings (satisfies `Rater`).

    Most features are shrunk means of the residuals e = rating - μ - b_u - b_i of the history: of its latest
    events (a user's mood drifts: Koren 2010), and weighted by how like each event's item is to the item in
    question, in text and in who rated both (Sarwar et al. 2001).
    """

    factors: BiasedMF
    biases: BiasModel
    train: Histories
    """The ratings that all counts come from."""
    text_ID: FloatArray | None
    """[I, D] unit rows of the items' text; None: likeness in text counts as 0."""
    weights_F: FloatArray
    """[F + 1] the intercept, then the features' weights."""

    @classmethod
    def fit(
        cls, train: Histories, text_ID: FloatArray | None = None, *, seed: int = 0, show: bool = False
    ) -> RatingRegression:
        """DataError when nothing was rated. Counts of the fit leave out the ratings that it is fitted on."""
        factors = BiasedMF.fit(train, seed=seed, show=show)
        unfitted = np.zeros(1 + NUM_FEATURES, dtype=np.float32)
        whole = cls(factors, BiasModel.fit(train), train, text_ID, unfitted)
        kept = np.maximum(train.lengths - HELD, np.minimum(train.lengths, LEAST_EVENTS))
        early = train.first(kept)
        if not len(Ratings.of(early)):
            return whole
        config = BiasedMFConfig(max_sweeps=factors.sweeps)
        *_, earlier = sweeping(early, factors.rank, config, seed)
        before = cls(earlier, BiasModel.fit(early), early, text_ID, unfitted)
        features_NF, missing_N, owners_N = held_back(before, train, kept)
        if len(missing_N) < TARGETS_PER_FEATURE * NUM_FEATURES:
            return whole
        return replace(whole, weights_F=ridge(features_NF, missing_N, owners_N % FOLDS))

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        """[N] forecasts inside the range of the training ratings."""
        own = self.factors.rate(histories, item_rows)
        if not self.weights_F.any():
            return own
        added = self.weights_F[0] + self.features(histories, item_rows, own) @ self.weights_F[1:]
        return np.asarray(np.clip(own + added, self.biases.lowest, self.biases.highest), dtype=np.float32)

    @cached_property
    def raters(self) -> Any:
        """[I, U] CSR of who rated what, rows of about unit length."""
        ratings = Ratings.of(self.train)
        shape = (num_rows(ratings), len(self.train))
        cells = (ratings.item_rows, ratings.owners)
        matrix: Any = sp.coo_matrix((np.ones(len(ratings), np.float32), cells), shape=shape).tocsr()
        matrix.data[:] = 1.0
        return (sp.diags(1.0 / np.sqrt(np.diff(matrix.indptr) + SHRINK_TOGETHER)) @ matrix).tocsr()

    @cached_property
    def counts_I(self) -> FloatArray:
        """[I] users who rated each item."""
        return np.diff(self.raters.indptr).astype(np.float32)

    def features(self, histories: Histories, item_rows: IntArray, own_N: FloatArray) -> FloatArray:
        """[N, F] in the order of the concatenation below; own_N: the factors' forecasts."""
        biases, ratings = self.biases, Ratings.of(histories)
        users_N, items_N = biases.user_biases(histories), look_up(biases.item_biases, item_rows)
        expected_R = biases.mean + users_N[ratings.owners] + look_up(biases.item_biases, ratings.item_rows)
        errors_R = ratings.values - expected_R
        counts_N = np.bincount(ratings.owners, minlength=len(histories))
        back_R = np.cumsum(counts_N)[ratings.owners] - 1 - np.arange(len(ratings))  # 0 is the latest
        text_R = self.text_likeness(ratings.item_rows, item_rows[ratings.owners])
        together_R = self.rater_likeness(ratings.item_rows, item_rows[ratings.owners])

        def mean(weights_R: FloatArray, shrink: float) -> FloatArray:
            sums = np.bincount(ratings.owners, weights=weights_R * errors_R, minlength=len(histories))
            total = np.bincount(ratings.owners, weights=weights_R, minlength=len(histories))
            return np.asarray(sums / (total + shrink), dtype=np.float32)

        squares = np.bincount(ratings.owners, weights=errors_R**2, minlength=len(histories))
        columns = [
            biases.mean + users_N + items_N - own_N,
            users_N,
            items_N,
            np.log1p(counts_N),
            np.log1p(look_up(self.counts_I, item_rows)),
            np.sqrt((squares + 1) / (counts_N + 1)),
            mean((back_R < 3).astype(np.float32), 2.0),
            mean((back_R < 10).astype(np.float32), 2.0),
            mean(0.9**back_R, 2.0),
            mean(text_R, 0.5),
            mean(text_R**3, 0.1),
            mean(text_R**2 * 0.9**back_R, 0.1),
            mean(together_R, 0.5),
            mean(together_R**2 * 0.95**back_R, 0.1),
        ]
        return np.stack(columns, axis=1).astype(np.float32)

    def text_likeness(self, left_R: IntArray, right_R: IntArray) -> FloatArray:
        """[R] cosines, negative ones as 0; 0 for items that training never saw."""
        likeness_R = np.zeros(len(left_R), dtype=np.float32)
        if self.text_ID is None:
            return likeness_R
        for start in range(0, len(left_R), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            left = look_up(self.text_ID, left_R[part]).astype(np.float32)  # half precision in large runs
            pairs = left * look_up(self.text_ID, right_R[part])
            likeness_R[part] = pairs.sum(axis=1)
        return np.maximum(likeness_R, 0.0)

    def rater_likeness(self, left_R: IntArray, right_R: IntArray) -> FloatArray:
        """[R] shrunk cosines of who rated the two items; 0 for items that training never saw."""
        likeness_R, raters = np.zeros(len(left_R), dtype=np.float32), self.raters
        known = np.flatnonzero((left_R < raters.shape[0]) & (right_R < raters.shape[0]))
        for start in range(0, len(known), PAIRS_AT_ONCE):
            part = known[start : start + PAIRS_AT_ONCE]
            pairs = raters[left_R[part]].multiply(raters[right_R[part]])
            likeness_R[part] = np.asarray(pairs.sum(axis=1)).ravel()
        return likeness_R


NUM_FEATURES = 14


def held_back(
    before: RatingRegression, train: Histories, kept: IntArray
) -> tuple[FloatArray, FloatArray, IntArray]:
    """(features [N, F], what the factors' forecast lacks [N], users [N]): ratings after `kept` events."""
    features, missing, owners = [], [], []
    for stop in (kept + step for step in range(HELD)):
        users = np.flatnonzero((stop < train.lengths) & (stop > 0))
        events = train.offsets[users] + stop[users]
        rated = ~np.isnan(train.ratings[events])
        users, events = users[rated], events[rated]
        histories, item_rows = train.first(stop).select(users), train.item_rows[events]
        own = before.factors.rate(histories, item_rows)
        features.append(before.features(histories, item_rows, own))
        missing.append(train.ratings[events] - own)
        owners.append(users)
    return np.concatenate(features), np.concatenate(missing), np.concatenate(owners)


def ridge(features_NF: FloatArray, missing_N: FloatArray, folds_N: IntArray) -> FloatArray:
    """[F + 1] intercept and weights of the ridge that is best out of fold; zeros when none beats nothing."""
    spread_F = features_NF.std(axis=0) + 1e-6
    centre_F = features_NF.mean(axis=0)
    inputs = np.concatenate([np.ones((len(missing_N), 1)), (features_NF - centre_F) / spread_F], axis=1)

    def solved(rows: IntArray, strength: float) -> FloatArray:
        penalty = strength * np.eye(inputs.shape[1])
        penalty[0, 0] = 1.0
        gram = inputs[rows].T @ inputs[rows] + penalty
        return np.asarray(np.linalg.solve(gram, inputs[rows].T @ missing_N[rows]))

    def error(strength: float) -> float:
        total = 0.0
        for fold in range(FOLDS):
            outside, inside = np.flatnonzero(folds_N != fold), np.flatnonzero(folds_N == fold)
            total += float(((missing_N[inside] - inputs[inside] @ solved(outside, strength)) ** 2).sum())
        return total

    best, strength = min((error(strength), strength) for strength in RIDGES)
    weights = solved(np.arange(len(missing_N)), strength)
    if best >= float((missing_N.astype(np.float64) ** 2).sum()):
        return np.zeros(inputs.shape[1], dtype=np.float32)
    weights[1:] /= spread_F
    weights[0] -= weights[1:] @ centre_F
    return np.asarray(weights, dtype=np.float32)
