"""Biased matrix factorisation by alternating ridge regression, folding in any history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from unimp.core.config import Config
from unimp.core.progress import progress_bar
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.tasks.rating.references import Ratings, look_up, num_rows, training_ratings

EVENTS_AT_ONCE = 2**16
"""Outer products held at a time."""


class BiasedMFConfig(Config):
    """Strengths of the ridges, and what the inner hold-out chooses from."""

    ranks: tuple[int, ...] = (0, 4, 8, 16)
    """Numbers of factors that are tried; 0 leaves the biases alone."""
    l2_bias: float = Field(6.0, gt=0)
    """Ridge on b_u and b_i."""
    l2_factors: float = Field(12.0, gt=0)
    """Ridge on p_u and q_i."""
    max_sweeps: int = Field(15, ge=1)
    """Alternations at most; the hold-out says how many."""
    held_share: float = Field(0.1, gt=0, lt=1)
    """Share of each user's training events, the latest, that choose rank and sweeps. A user with fewer than
    three holds none out."""


@dataclass(frozen=True)
class BiasedMF:
    """μ + b_u + b_i + p_u·q_i (Koren, Bell & Volinsky 2009, eq. 4).

    b_u and p_u are always solved in closed form from the ratings of the given history, so any history can be
    answered, those that training never saw included.
    """

    mean: float
    items: FloatArray
    """[items, 1 + F] b_i and q_i."""
    l2: FloatArray
    """[1 + F] the ridge on b_u and on every entry of p_u."""
    lowest: float
    highest: float
    sweeps: int
    """Alternations that the hold-out chose."""

    @property
    def rank(self) -> int:
        return int(self.items.shape[1]) - 1

    @classmethod
    def fit(
        cls, train: Histories, config: BiasedMFConfig | None = None, *, seed: int = 0, show: bool = False
    ) -> BiasedMF:
        config = config or BiasedMFConfig()
        learned, held = hold_out(train, config.held_share)
        tries = []
        with progress_bar("biased MF", len(config.ranks) * config.max_sweeps, show=show) as bar:
            for rank in config.ranks:
                best = (np.inf, 1)
                for sweep, model in enumerate(sweeping(learned, rank, config, seed), start=1):
                    best = min(best, (held_error(model, learned, held), sweep))
                    bar.advance(note=f"rank {rank}, RMSE {best[0]:.4f}")
                tries.append((*best, rank))
        _, sweeps, rank = min(tries)
        *_, model = sweeping(train, rank, config.model_copy(update={"max_sweeps": sweeps}), seed)
        return model

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        users = self.users_of(histories)
        return self.answer(users, look_up(self.items, item_rows))

    def users_of(self, histories: Histories) -> FloatArray:
        """[U, 1 + F] b_u and p_u from the ratings of each history; zeros without any."""
        ratings = Ratings.of(histories)
        met = look_up(self.items, ratings.item_rows)
        return solve_side(ratings.owners, met, ratings.values - self.mean, len(histories), self.l2)

    def answer(self, users: FloatArray, items: FloatArray) -> FloatArray:
        """[N] forecasts from [N, 1 + F] users and items, inside the range of the training ratings."""
        inner = (users[:, 1:] * items[:, 1:]).sum(axis=1)
        foretold = self.mean + users[:, 0] + items[:, 0] + inner
        return np.asarray(np.clip(foretold, self.lowest, self.highest), dtype=np.float32)


@dataclass(frozen=True)
class Held:
    """What an inner hold-out asks."""

    users: IntArray
    """[H] positions in the histories learned from."""
    item_rows: IntArray
    """[H]."""
    values: FloatArray
    """[H] the true ratings."""


def hold_out(train: Histories, share: float) -> tuple[Histories, Held]:
    """The earlier part of every user's rated events, and questions about the latest `share` of them."""
    lengths = train.lengths
    kept = np.where(lengths >= 3, lengths - np.ceil(lengths * share).astype(np.int64), lengths)
    places = np.arange(train.num_events) - np.repeat(train.offsets[:-1], lengths)
    late = (places >= np.repeat(kept, lengths)) & ~np.isnan(train.ratings)
    held = Held(train.owners()[late], train.item_rows[late], train.ratings[late])
    return train.first(kept), held


def held_error(model: BiasedMF, learned: Histories, held: Held) -> float:
    """Squared error of the held-out ratings, each user folded in from what was learned."""
    foretold = model.answer(model.users_of(learned)[held.users], look_up(model.items, held.item_rows))
    return float(((foretold - held.values) ** 2).mean()) if len(held.values) else 0.0


def sweeping(train: Histories, rank: int, config: BiasedMFConfig, seed: int) -> Iterator[BiasedMF]:
    """The model after each alternation of users and items."""
    ratings = training_ratings(train)
    mean = float(ratings.values.mean())
    lowest, highest = float(ratings.values.min()), float(ratings.values.max())
    l2 = np.full(1 + rank, config.l2_factors, dtype=np.float32)
    l2[0] = config.l2_bias
    rng = np.random.default_rng(seed)
    items = rng.normal(0.0, 0.1, (num_rows(ratings), 1 + rank)).astype(np.float32)
    items[:, 0] = 0.0
    order = np.argsort(ratings.item_rows, kind="stable")
    for sweep in range(1, config.max_sweeps + 1):
        left = ratings.values - mean
        users = solve_side(ratings.owners, items[ratings.item_rows], left, ratings.num_users, l2)
        met = users[ratings.owners[order]]
        items = solve_side(ratings.item_rows[order], met, left[order], len(items), l2)
        yield BiasedMF(mean, items, l2, lowest, highest, sweep)


def solve_side(
    groups: IntArray, others: FloatArray, values: FloatArray, count: int, l2: FloatArray
) -> FloatArray:
    """[count, 1 + F] each group's bias and factors: a ridge of value - other's bias on [1, other's factors].

    groups: [R] rising; others: [R, 1 + F] bias and factors of the other side; values: [R] ratings less the
    mean. A group without a rating gets zeros.
    """
    width = others.shape[1]
    gram = np.zeros((count, width, width))
    gram += np.diag(l2.astype(np.float64))
    moment = np.zeros((count, width))
    for start in range(0, len(groups), EVENTS_AT_ONCE):
        part = slice(start, start + EVENTS_AT_ONCE)
        own, inputs = groups[part], others[part].astype(np.float64)
        left = values[part] - inputs[:, 0]
        inputs[:, 0] = 1.0
        firsts = np.flatnonzero(np.concatenate([[True], own[1:] != own[:-1]]))
        gram[own[firsts]] += np.add.reduceat(inputs[:, :, None] * inputs[:, None, :], firsts)
        moment[own[firsts]] += np.add.reduceat(inputs * left[:, None], firsts)
    return np.linalg.solve(gram, moment[:, :, None])[:, :, 0].astype(np.float32)
