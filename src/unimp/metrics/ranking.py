"""Full-catalogue ranks and what is read off them: hit rate, NDCG, MRR at k."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from unimp.answer import Ranker
from unimp.data.histories import Cases, Histories, IntArray
from unimp.errors import UnimpError

CUTOFFS = (3, 5, 10)
RankArray = npt.NDArray[np.float64]


def mask_history(scores: npt.NDArray[np.float32], histories: Histories) -> None:
    """Set every item of a user's own history to -inf, in place. scores: [U, num_items]."""
    scores[histories.owners(), histories.item_rows] = -np.inf


def target_ranks(scores: npt.NDArray[np.float32], target_rows: IntArray) -> RankArray:
    """1-based rank of each target among its row of scores; ties take the mean rank. scores: [N, num_items].

    A target outside the catalogue (row -1) or masked out (-inf) is a miss: rank infinity.
    A row with NaN is unscored: rank NaN.
    """
    known = target_rows >= 0
    own = scores[np.arange(len(scores)), np.where(known, target_rows, 0)][:, None]
    better = (scores > own).sum(axis=1)
    tied = (scores == own).sum(axis=1) - 1
    ranks: RankArray = 1.0 + better + tied / 2.0
    ranks[~known | np.isneginf(own[:, 0])] = np.inf
    ranks[np.isnan(scores).any(axis=1)] = np.nan
    return ranks


def rank_cases(
    ranker: Ranker,
    cases: Cases,
    *,
    exclude_history: bool = True,
    batch_size: int = 512,
    advance: Callable[[int], object] = lambda count: None,
) -> RankArray:
    """[N] rank of every case's target in the full catalogue, a batch of users at a time.

    With the history masked, a target that its own history already holds is a miss.
    """
    ranks = np.empty(len(cases))
    for start in range(0, len(cases), batch_size):
        batch = cases.select(np.arange(start, min(start + batch_size, len(cases))))
        scores = ranker.score(batch.histories)
        if scores.shape[0] != len(batch):
            raise UnimpError(f"{ranker!r}: scored {scores.shape[0]} users of {len(batch)}")
        scores = np.array(scores, dtype=np.float32)
        if exclude_history:
            mask_history(scores, batch.histories)
        ranks[start : start + len(batch)] = target_ranks(scores, batch.target_rows)
        advance(len(batch))
    return ranks


def ranking_metrics(ranks: RankArray, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, float]:
    """HR@k, NDCG@k, MRR@k as fractions, one relevant item each; NaN ranks are unscored and left out.

    With one relevant item NDCG is 1 / log2(1 + rank) and MRR is cut at k (0 past it).
    """
    scored = ranks[~np.isnan(ranks)]
    if not len(scored):
        return {f"{name}@{k}": float("nan") for k in cutoffs for name in ("HR", "NDCG", "MRR")}
    values: dict[str, float] = {}
    for k in cutoffs:
        hit = scored <= k
        values[f"HR@{k}"] = float(hit.mean())
        values[f"NDCG@{k}"] = float(np.where(hit, 1.0 / np.log2(1.0 + scored), 0.0).mean())
        values[f"MRR@{k}"] = float(np.where(hit, 1.0 / scored, 0.0).mean())
    return values
