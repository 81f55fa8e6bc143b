"""Ratings from means and biases, all in closed form. Histories without ratings are answered by the items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from unimp.core.config import Config
from unimp.core.errors import DataError
from unimp.data.histories import FloatArray, Histories, IntArray


@dataclass(frozen=True)
class Ratings:
    """The R rated events of some histories."""

    owners: IntArray
    """[R] positions of their users, rising."""
    item_rows: IntArray
    """[R]."""
    values: FloatArray
    """[R] in the data's scale."""
    num_users: int

    @classmethod
    def of(cls, histories: Histories) -> Ratings:
        rated = ~np.isnan(histories.ratings)
        return cls(
            histories.owners()[rated],
            histories.item_rows[rated],
            histories.ratings[rated].astype(np.float32),
            len(histories),
        )

    def __len__(self) -> int:
        return len(self.values)


def training_ratings(train: Histories) -> Ratings:
    """DataError when nothing was rated."""
    ratings = Ratings.of(train)
    if not len(ratings):
        raise DataError("ratings: no training event has one; choose data with ratings")
    return ratings


def shrunk_means(groups: IntArray, values: FloatArray, count: int, l2: float) -> FloatArray:
    """[count] sum / (number + l2) of each group's values, 0 for an empty one: a mean drawn towards 0."""
    sums = np.bincount(groups, weights=values, minlength=count)
    numbers = np.bincount(groups, minlength=count)
    return np.asarray(sums / np.maximum(numbers + l2, 1e-9), dtype=np.float32)


def look_up(table: FloatArray, item_rows: IntArray) -> FloatArray:
    """[N] or [N, F] rows of `table`, zeros for items that training never saw."""
    known = (item_rows >= 0) & (item_rows < len(table))
    found = table[np.where(known, item_rows, 0)]
    found[~known] = 0.0
    return found


@dataclass(frozen=True)
class GlobalMean:
    """The mean rating, for everyone and everything."""

    mean: float

    @classmethod
    def fit(cls, train: Histories) -> GlobalMean:
        return cls(float(training_ratings(train).values.mean()))

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        return np.full(len(histories), self.mean, dtype=np.float32)


@dataclass(frozen=True)
class UserMean:
    """The user's own mean, drawn towards the mean of all as if by `l2` more ratings."""

    mean: float
    l2: float

    @classmethod
    def fit(cls, train: Histories, l2: float = 5.0) -> UserMean:
        return cls(float(training_ratings(train).values.mean()), l2)

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        ratings = Ratings.of(histories)
        return self.mean + shrunk_means(ratings.owners, ratings.values - self.mean, len(histories), self.l2)


@dataclass(frozen=True)
class ItemMean:
    """The item's training mean, drawn towards the mean of all as if by `l2` more ratings."""

    mean: float
    shifts: FloatArray
    """[items] its mean less the mean of all, shrunk."""

    @classmethod
    def fit(cls, train: Histories, l2: float = 5.0) -> ItemMean:
        ratings = training_ratings(train)
        mean = float(ratings.values.mean())
        return cls(mean, shrunk_means(ratings.item_rows, ratings.values - mean, num_rows(ratings), l2))

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        return self.mean + look_up(self.shifts, item_rows)


class BiasConfig(Config):
    """How strongly biases are drawn to zero."""

    l2_user: float = Field(7.0, ge=0)
    """Ratings' worth of belief that a user is like all."""
    l2_item: float = Field(5.0, ge=0)
    """Ratings' worth of belief that an item is like all."""
    sweeps: int = Field(20, ge=1)
    """Alternations; the biases stand still long before."""


@dataclass(frozen=True)
class BiasModel:
    """μ + b_u + b_i by alternating ridge regression (Koren 2009, eq. 1).

    b_u is solved from the ratings of the history in the request.
    """

    mean: float
    item_biases: FloatArray
    """[items]."""
    l2_user: float
    lowest: float
    highest: float
    """The range of the training ratings; forecasts stay inside."""

    @classmethod
    def fit(cls, train: Histories, config: BiasConfig | None = None) -> BiasModel:
        config = config or BiasConfig()
        ratings = training_ratings(train)
        mean = float(ratings.values.mean())
        items = np.zeros(num_rows(ratings), dtype=np.float32)
        for _ in range(config.sweeps):
            left = ratings.values - mean - items[ratings.item_rows]
            users = shrunk_means(ratings.owners, left, ratings.num_users, config.l2_user)
            left = ratings.values - mean - users[ratings.owners]
            items = shrunk_means(ratings.item_rows, left, len(items), config.l2_item)
        lowest, highest = float(ratings.values.min()), float(ratings.values.max())
        return cls(mean, items, config.l2_user, lowest, highest)

    def user_biases(self, histories: Histories) -> FloatArray:
        """[U] from the ratings of each history, 0 without any."""
        ratings = Ratings.of(histories)
        left = ratings.values - self.mean - look_up(self.item_biases, ratings.item_rows)
        return shrunk_means(ratings.owners, left, len(histories), self.l2_user)

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        foretold = self.mean + self.user_biases(histories) + look_up(self.item_biases, item_rows)
        return np.asarray(np.clip(foretold, self.lowest, self.highest), dtype=np.float32)


def num_rows(ratings: Ratings) -> int:
    """One more than the largest item row."""
    return int(ratings.item_rows.max()) + 1
