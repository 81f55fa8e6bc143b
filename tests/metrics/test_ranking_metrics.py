import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimp.core.errors import UnimpError
from unimp.data.histories import Cases, FloatArray, Histories
from unimp.metrics.ranking import (
    find_ranks,
    judge_cases,
    mask_history,
    metric_values,
    rank_cases,
    ranking_metrics,
    target_ranks,
)


def ranks_of(scores: list[list[float]], targets: list[int]) -> list[float]:
    return target_ranks(np.array(scores, dtype=np.float32), np.array(targets)).tolist()


def test_rank_is_one_plus_the_better_items() -> None:
    assert ranks_of([[0.1, 0.9, 0.5], [0.1, 0.9, 0.5], [0.1, 0.9, 0.5]], [1, 2, 0]) == [1, 2, 3]


def test_ties_take_the_mean_rank() -> None:
    assert ranks_of([[1, 1, 0, 2], [3, 3, 3, 3], [5, 1, 1, 1]], [0, 3, 2]) == [2.5, 2.5, 3.0]


def test_ties_are_counted() -> None:
    scores = np.array([[1, 1, 0], [1, 1, 0], [np.nan, 1, 1], [-np.inf, -np.inf, 0]], dtype=np.float32)
    assert find_ranks(scores, np.array([0, 2, 1, 0])).tied.tolist() == [True, False, False, False]


def test_a_target_outside_the_catalogue_is_a_miss() -> None:
    assert ranks_of([[1, 2], [1, 2]], [-1, 0]) == [math.inf, 2]


def test_a_masked_target_is_a_miss_and_masked_items_take_no_place() -> None:
    scores = np.array([[3, 2, 1], [3, 2, 1]], dtype=np.float32)
    mask_history(scores, Histories.from_lists([[0], [2]]))
    assert target_ranks(scores, np.array([1, 2])).tolist() == [1, math.inf]


def test_nan_is_unscored_not_wrong() -> None:
    ranks = ranks_of([[math.nan, 1, 2], [0, 1, 2]], [2, 2])
    assert math.isnan(ranks[0])
    assert ranks[1] == 1
    assert ranking_metrics(np.array(ranks), (1,))["HR@1"] == 1.0


def test_metrics_by_hand() -> None:
    metrics = ranking_metrics(np.array([1.0, 2.0, 4.0, math.inf]), (3, 5))
    assert metrics["HR@3"] == 0.5
    assert metrics["NDCG@3"] == pytest.approx((1 + 1 / math.log2(3)) / 4)
    assert metrics["MRR@3"] == pytest.approx((1 + 1 / 2) / 4)
    assert metrics["HR@5"] == 0.75
    assert metrics["NDCG@5"] == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(5)) / 4)
    assert metrics["MRR@5"] == pytest.approx((1 + 1 / 2 + 1 / 4) / 4)


def test_a_tie_across_the_cutoff_is_a_miss_by_its_mean_rank() -> None:
    assert ranking_metrics(np.array([3.5]), (3,))["HR@3"] == 0.0
    assert ranking_metrics(np.array([2.5]), (3,))["MRR@3"] == pytest.approx(0.4)


@pytest.mark.parametrize("ranks", [[], [math.nan, math.nan]])
def test_nothing_scored_is_nan(ranks: list[float]) -> None:
    assert all(math.isnan(value) for value in ranking_metrics(np.array(ranks), (3,)).values())


def test_a_catalogue_shorter_than_the_cutoff() -> None:
    assert ranks_of([[0.0]], [0]) == [1]
    assert ranking_metrics(np.array([1.0]), (10,)) == {"HR@10": 1.0, "NDCG@10": 1.0, "MRR@10": 1.0}


def test_values_keep_the_unscored_apart() -> None:
    assert np.array_equal(
        metric_values(np.array([1, 9, math.nan]), "HR", 5), [1, 0, math.nan], equal_nan=True
    )
    with pytest.raises(ValueError, match="no metric 'AUC'"):
        metric_values(np.array([1.0]), "AUC", 5)


def naive_rank(scores: list[float], target: int) -> float:
    """Sort, find all places of the target's score, take their mean."""
    if target < 0 or scores[target] == -math.inf:
        return math.inf
    ordered = sorted(scores, reverse=True)
    places = [place for place, score in enumerate(ordered, start=1) if score == scores[target]]
    return sum(places) / len(places)


score_values = st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 1.0, 2.0, 7.0])


@given(st.lists(score_values, min_size=1, max_size=12), st.data())
def test_ranks_agree_with_sorting(scores: list[float], data: st.DataObject) -> None:
    target = data.draw(st.integers(-1, len(scores) - 1))
    assert ranks_of([scores], [target]) == [naive_rank(scores, target)]


@given(st.lists(st.sampled_from([1.0, 1.5, 2.0, 3.0, 5.5, 11.0, math.inf]), min_size=1, max_size=20))
def test_metrics_agree_with_a_loop(ranks: list[float]) -> None:
    found = ranking_metrics(np.array(ranks), (5,))
    assert found["HR@5"] == pytest.approx(sum(rank <= 5 for rank in ranks) / len(ranks))
    assert found["NDCG@5"] == pytest.approx(
        sum(1 / math.log2(1 + rank) for rank in ranks if rank <= 5) / len(ranks)
    )
    assert found["MRR@5"] == pytest.approx(sum(1 / rank for rank in ranks if rank <= 5) / len(ranks))
    assert 0 <= found["MRR@5"] <= found["NDCG@5"] <= found["HR@5"] <= 1


class Fixed:
    """Scores every item by its row, whoever asks."""

    def score(self, histories: Histories) -> FloatArray:
        return np.tile(np.arange(5, dtype=np.float32), (len(histories), 1))


class Broken:
    def score(self, histories: Histories) -> FloatArray:
        return np.zeros((1, 5), dtype=np.float32)


CASES = Cases(
    Histories.from_lists([[4], [4, 3], [0], [2]]), np.array([3, 2, 4, 2]), np.full(4, -1, dtype=np.int64)
)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_cases_are_ranked_in_batches(batch_size: int) -> None:
    seen: list[int] = []
    ranks = rank_cases(Fixed(), CASES, batch_size=batch_size, advance=seen.append)
    assert ranks.tolist() == [1, 1, 1, math.inf]
    assert sum(seen) == 4
    assert rank_cases(Fixed(), CASES, exclude_history=False).tolist() == [2, 3, 1, 3]


def test_no_cases() -> None:
    assert not len(judge_cases(Fixed(), CASES.select(np.array([], dtype=np.int64))).values)


def test_a_method_that_scores_other_users_is_refused() -> None:
    with pytest.raises(UnimpError, match="expected 4 users"):
        rank_cases(Broken(), CASES)
