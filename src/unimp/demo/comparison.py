"""UniMP, its image-blind self and the simple methods on the same users, judged by the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from unimp.answer import Ranker
from unimp.data.histories import Cases
from unimp.metrics.ranking import RankArray, rank_cases, ranking_metrics


@dataclass(frozen=True)
class ComparisonRow:
    """One method's figures, as fractions: over all users, and by what decides a user's choice."""

    method: str
    metrics: dict[str, float]
    hit_rate_by_taste: dict[str, float]
    """HR@5."""
    ranks: RankArray
    """[cases] of each user's target."""


@dataclass(frozen=True)
class TasteComparison:
    rows: tuple[ComparisonRow, ...]
    users_by_taste: dict[str, int]

    def row(self, method: str) -> ComparisonRow:
        return next(row for row in self.rows if row.method == method)

    def ratio(self, method: str, other: str, taste: str | None = None) -> float:
        """How many times `other`'s HR@5 `method` reaches; infinity when the other never hits."""
        first, second = (
            row.metrics["HR@5"] if taste is None else row.hit_rate_by_taste[taste]
            for row in (self.row(method), self.row(other))
        )
        return first / second if second else float("inf")

    def ranks_table(self, cases: Cases, tastes: npt.NDArray[np.str_]) -> pl.DataFrame:
        """A row for every user: what decides, and the target's rank by every method."""
        ranks = {row.method: row.ranks.astype(np.float32) for row in self.rows}
        return pl.DataFrame({"user_id": cases.histories.user_ids.astype(str), "taste": tastes, **ranks})


def ranked(rankers: Mapping[str, Ranker], cases: Cases) -> dict[str, RankArray]:
    """By method, [cases] the rank of every target in the full catalogue, history masked."""
    return {name: rank_cases(ranker, cases) for name, ranker in rankers.items()}


def compare(ranks: Mapping[str, RankArray], tastes: npt.NDArray[np.str_]) -> TasteComparison:
    """`ranks`: by method, in the order of the table's rows; tastes: [cases]."""
    rows = [row_of(name, values, tastes) for name, values in ranks.items()]
    counts = {taste: int((tastes == taste).sum()) for taste in taste_names(tastes)}
    return TasteComparison(tuple(rows), counts)


def row_of(name: str, ranks: RankArray, tastes: npt.NDArray[np.str_]) -> ComparisonRow:
    by_taste = {taste: ranking_metrics(ranks[tastes == taste])["HR@5"] for taste in taste_names(tastes)}
    return ComparisonRow(name, ranking_metrics(ranks), by_taste, ranks)


def taste_names(tastes: npt.NDArray[np.str_]) -> list[str]:
    return sorted(set(tastes.tolist()))
