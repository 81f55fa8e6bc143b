"""Is A better than B? Bootstrap intervals and a paired sign-flip test on per-user metric values."""

# B resamples, N users, K columns (methods or metrics)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
BLOCK_ENTRIES = 2**24
"""Entries of a [B, N] block that is held at once: 64 MiB of float32."""


@dataclass(frozen=True)
class Interval:
    """A percentile interval of a mean over users."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedComparison:
    """The mean over users of a − b, its interval, and how easily chance alone gives as much."""

    difference: Interval
    p_value: float
    """Two-sided, from the sign-flip test; never 0."""


def bootstrap_intervals(
    values_NK: Values, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> list[Interval]:
    """Percentile bootstrap (Efron, 1979) over users, one interval per column; the resamples are shared."""
    users = len(values_NK)
    if not users:
        return [Interval(float("nan"), float("nan"), float("nan"))] * values_NK.shape[1]
    random = np.random.default_rng(seed)
    block = max(1, BLOCK_ENTRIES // users)
    means = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = random.integers(0, users, size=(rows, users)) + np.arange(rows)[:, None] * users
        # How often each user was drawn: then one matrix product resamples every column at once.
        counts_BN = np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users)
        means.append(counts_BN.astype(np.float64) @ values_NK / users)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(np.concatenate(means), [tail, 1.0 - tail], axis=0)
    return [
        Interval(float(mean), float(a), float(b))
        for mean, a, b in zip(values_NK.mean(axis=0), low, high, strict=True)
    ]


def intervals_of(tables: Sequence[Values]) -> list[list[Interval]]:
    """Of each [N, K] its K intervals over the users without NaN.

    Those without any are resampled together: drawing users costs far more than averaging their values.
    """
    found: dict[int, list[Interval]] = {}
    whole = [place for place, table in enumerate(tables) if not np.isnan(table).any()]
    if whole:
        together = iter(bootstrap_intervals(np.concatenate([tables[place] for place in whole], axis=1)))
        found = {place: [next(together) for _ in tables[place].T] for place in whole}
    for place, table in enumerate(tables):
        if place not in found:
            found[place] = bootstrap_intervals(table[~np.isnan(table).any(axis=1)])
    return [found[place] for place in range(len(tables))]


def sign_flip_p_value(differences_N: Values, *, flips: int = 10_000, seed: int = 0) -> float:
    """Two-sided paired permutation test (Fisher, 1935): under no difference each user's sign is a coin.

    (1 + number of flips at least as far from 0 as what was seen) / (1 + flips).
    """
    changed = differences_N[differences_N != 0]  # a zero stays zero whichever way the coin falls
    if not len(changed):
        return 1.0
    random = np.random.default_rng(seed)
    # Float sums differ in their last bits by order: what is equal in truth must count as equal.
    seen = abs(changed.sum()) * (1.0 - 1e-9)
    block, extreme = max(1, BLOCK_ENTRIES // len(changed)), 0
    for start in range(0, flips, block):
        shape = (min(block, flips - start), len(changed))
        heads_BN = random.integers(0, 2, size=shape, dtype=np.int8).astype(np.float64)
        sums = 2.0 * (heads_BN @ changed) - changed.sum()
        extreme += int((np.abs(sums) >= seen).sum())
    return (1 + extreme) / (1 + flips)


def over_users(values_NK: Values, cases_per_user: int) -> Values:
    """[N / cases_per_user, K] the mean of each user's cases, which stand side by side.

    Cases of one user are not independent of each other, so what is resampled is users. Every user has as many
    cases, and the mean over users is the mean over cases; a user with an unscored case is unscored.
    """
    if cases_per_user == 1:
        return values_NK
    users = len(values_NK) // cases_per_user
    mean: Values = values_NK.reshape(users, cases_per_user, *values_NK.shape[1:]).mean(axis=1)
    return mean


def compare(a_N: Values, b_N: Values) -> PairedComparison:
    """Paired, over the users that both have scored (NaN is unscored)."""
    return compare_pairs([(a_N, b_N)])[0]


def compare_pairs(pairs: Sequence[tuple[Values, Values]]) -> list[PairedComparison]:
    """`compare` of each pair; all are of the same users."""
    differences = [a_N - b_N for a_N, b_N in pairs]
    intervals = intervals_of([values_N[:, None] for values_N in differences])
    return [
        PairedComparison(interval, sign_flip_p_value(values_N[~np.isnan(values_N)]))
        for (interval,), values_N in zip(intervals, differences, strict=True)
    ]
