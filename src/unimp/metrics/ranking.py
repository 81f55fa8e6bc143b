"""Full-catalogue ranks and what is read off them: hit rate, NDCG, MRR at k."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unimp.answer import Ranker
from unimp.core.errors import ConfigError, UnimpError
from unimp.data.histories import Cases, Histories, IntArray

CUTOFFS = (3, 5, 10)
METRIC_NAMES = ("HR", "NDCG", "MRR")
RankArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranks:
    """Where each of N targets stood."""

    values: RankArray
    """[N] 1-based, mean rank on ties; infinity is a miss, NaN is unscored."""
    tied: npt.NDArray[np.bool_]
    """[N] True where another item had the target's score."""


def mask_history(scores: npt.NDArray[np.float32], histories: Histories) -> None:
    """Set every item of a user's own history to -inf, in place. scores: [U, num_items]."""
    scores[histories.owners(), histories.item_rows] = -np.inf


def find_ranks(scores: npt.NDArray[np.float32], target_rows: IntArray) -> Ranks:
    """The place of each target in its row of scores. scores: [N, num_items].

    A target outside the catalogue (row -1) or masked out (-inf) is a miss: rank infinity.
    A row with NaN is unscored: rank NaN.
    """
    known = target_rows >= 0
    own = scores[np.arange(len(scores)), np.where(known, target_rows, 0)]
    better = np.count_nonzero(scores > own[:, None], axis=1)
    others = np.count_nonzero(scores == own[:, None], axis=1) - 1
    missed = ~known | np.isneginf(own)
    # A maximum is NaN as soon as one score is, and costs no [N, num_items] array of its own.
    unscored = np.isnan(scores.max(axis=1))
    values: RankArray = 1.0 + better + others / 2.0
    values[missed] = np.inf
    values[unscored] = np.nan
    return Ranks(values, (others > 0) & ~missed & ~unscored)


def target_ranks(scores: npt.NDArray[np.float32], target_rows: IntArray) -> RankArray:
    """[N] the ranks alone, see `find_ranks`."""
    return find_ranks(scores, target_rows).values


def score_bytes() -> int:
    """Largest size of a matrix of scores: `UNIMP_SCORE_MIB`, 64 MiB unless set. ConfigError for no number."""
    text = os.environ.get("UNIMP_SCORE_MIB", "64")
    if not text.isdigit() or not int(text):
        raise ConfigError(f"UNIMP_SCORE_MIB={text}: expected a number of MiB, such as 64")
    return int(text) * 2**20


def users_at_a_time(num_items: int) -> int:
    """Users whose scores of all items are held together: at most 512, fewer for a large catalogue.

    A few matrices of that size are alive at once; there is never one of all users by all items.
    """
    return max(1, min(512, score_bytes() // (4 * max(num_items, 1))))


def judge_cases(
    ranker: Ranker,
    cases: Cases,
    *,
    exclude_history: bool = True,
    among: npt.NDArray[np.bool_] | None = None,
    batch_size: int = 512,
    advance: Callable[[int], object] = lambda count: None,
) -> Ranks:
    """The rank of every case's target in the full catalogue, a batch of users at a time.

    With the history masked, a target that its own history already holds is a miss. `among` ([num_items])
    has only some items ranked.
    """
    ranks = Ranks(np.empty(len(cases)), np.zeros(len(cases), dtype=np.bool_))
    for start in range(0, len(cases), batch_size):
        batch = cases.select(np.arange(start, min(start + batch_size, len(cases))))
        scores = ranker.score(batch.histories)
        if scores.ndim != 2 or scores.shape[0] != len(batch):
            raise UnimpError(f"{ranker!r}: scores are {scores.shape}, expected {len(batch)} users by items")
        scores = np.array(scores, dtype=np.float32)
        if exclude_history:
            mask_history(scores, batch.histories)
        if among is not None:
            scores[:, ~among] = -np.inf
        found = find_ranks(scores, batch.target_rows)
        ranks.values[start : start + len(batch)] = found.values
        ranks.tied[start : start + len(batch)] = found.tied
        advance(len(batch))
    return ranks


def rank_cases(
    ranker: Ranker,
    cases: Cases,
    *,
    exclude_history: bool = True,
    batch_size: int = 512,
    advance: Callable[[int], object] = lambda count: None,
) -> RankArray:
    """[N] the ranks alone, see `judge_cases`."""
    return judge_cases(
        ranker, cases, exclude_history=exclude_history, batch_size=batch_size, advance=advance
    ).values


def metric_values(ranks: RankArray, name: str, cutoff: int) -> RankArray:
    """[N] what each rank is worth under `HR`, `NDCG` or `MRR` at `cutoff`; NaN where unscored.

    One item is relevant, so NDCG is 1 / log2(1 + rank) and MRR 1 / rank, both 0 past the cutoff.
    """
    if name == "HR":
        worth: RankArray = np.ones_like(ranks)
    elif name == "NDCG":
        worth = 1.0 / np.log2(1.0 + ranks)
    elif name == "MRR":
        worth = 1.0 / ranks
    else:
        raise ValueError(f"no metric {name!r}; known: {', '.join(METRIC_NAMES)}")
    return np.where(np.isnan(ranks), np.nan, np.where(ranks <= cutoff, worth, 0.0))


def ranking_metrics(ranks: RankArray, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """HR@k, NDCG@k, MRR@k as fractions; NaN ranks are unscored and left out, NaN when none is left."""
    scored = ranks[~np.isnan(ranks)]
    return {
        f"{name}@{k}": float(metric_values(scored, name, k).mean()) if len(scored) else float("nan")
        for k in cutoffs
        for name in METRIC_NAMES
    }
