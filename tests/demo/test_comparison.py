"""The demo's nearest neighbours, and the ranks that it writes."""

from __future__ import annotations

import numpy as np
import polars as pl
import scipy.sparse as sp

from unimp.data.histories import Cases, Histories
from unimp.demo.comparison import compare, ranked
from unimp.demo.rankers import NearestItems

VECTORS = np.array([[1, 0], [0.6, 0.8], [0, 1], [0, 0]], dtype=np.float32)


def test_nearest_items_score_by_the_mean_likeness() -> None:
    histories = Histories.from_lists([[0, 2], [3], []])
    expected = [[0.5, 0.7, 0.5, 0.0], [0.0] * 4, [0.0] * 4]
    for vectors in (VECTORS, sp.csr_matrix(VECTORS)):
        np.testing.assert_allclose(NearestItems(vectors).score(histories), expected, atol=1e-6)


def test_every_users_rank_is_written() -> None:
    histories = Histories.from_lists([[0], [2]], ["ann", "bob"])
    cases = Cases(histories, np.array([1, 0]), np.array([0, 1]))
    tastes = np.array(["picture", "text"])
    table = compare(ranked({"near": NearestItems(VECTORS)}, cases), tastes).ranks_table(cases, tastes)
    assert table.columns == ["user_id", "taste", "near"]
    assert table["user_id"].to_list() == ["ann", "bob"]
    assert table["near"].to_list() == [1.0, 2.5]  # bob's target ties with an item of likeness 0
    assert table.schema["near"] == pl.Float32
