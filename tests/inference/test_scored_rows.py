"""The best items of scores, and the order of equals."""

from __future__ import annotations

import numpy as np

from unimp.data.histories import Histories
from unimp.inference.scored_rows import best_of_candidates, best_rows

NOBODY = Histories.from_lists([[], []])


def test_equals_come_in_rising_order_of_row_whatever_others_ask_for() -> None:
    scores = np.zeros((2, 500), dtype=np.float32)
    scores[:, [7, 400]] = 1.0
    scores[0, :] += np.float32(0.5)
    scores[1, 300:] = -np.inf
    few, many = best_rows(scores, NOBODY, [4, 450], [False, False])
    assert few.rows.tolist() == [7, 400, 0, 1]
    assert few.scores.tolist() == [1.5, 1.5, 0.5, 0.5]
    assert many.rows.tolist() == [7, *range(7), *range(8, 300)]


def test_equal_new_items_come_by_id_behind_those_of_training() -> None:
    scores = np.array([0, 2, 1, 1, 1, 3], dtype=np.float32)
    rows = np.arange(10, 16)
    found = [best_of_candidates(rows, scores, 4, ids) for ids in ({13: "b", 14: "a"}, {13: "a", 14: "b"})]
    assert [answer.rows.tolist() for answer in found] == [[15, 11, 12, 14], [15, 11, 12, 13]]
    assert not len(best_of_candidates(rows[:0], scores[:0], 4).rows)
