"""Items without an event: a method's scores of them are those of the items most like them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from tests.fusion.test_fused import QUICK, training

from unimp.data.histories import FloatArray, Histories
from unimp.fusion.cold import PlacedScores, stand_ins
from unimp.fusion.fused import FusionMaker
from unimp.fusion.graphs import Relation


class Fixed:
    """Scores the items by a row that it was given."""

    def __init__(self, row: list[float]) -> None:
        self.row = np.array(row, dtype=np.float32)

    def score(self, histories: Histories) -> FloatArray:
        return np.tile(self.row, (len(histories), 1))


def test_a_new_item_scores_as_the_mean_of_those_like_it_weighted_by_likeness() -> None:
    likeness = np.zeros((4, 4), dtype=np.float32)
    likeness[3, 0], likeness[3, 1] = 0.6, 0.2
    likeness += likeness.T
    relation = Relation(sp.csr_matrix(likeness))
    stand_in = stand_ins([relation], np.array([5, 1, 2, 0]))
    method = PlacedScores.of(Fixed([4.0, 8.0, 1.0, -50.0]), stand_in)
    found = method.score(Histories.from_lists([[0], [1, 2]]))
    np.testing.assert_allclose(found, [[4.0, 8.0, 1.0, 5.0]] * 2, rtol=1e-6)


def test_a_new_item_that_is_like_none_keeps_its_score() -> None:
    nothing = Relation(sp.csr_matrix((3, 3), dtype=np.float32))
    stand_in = stand_ins([nothing], np.array([3, 1, 0]))
    found = PlacedScores.of(Fixed([4.0, 8.0, -50.0]), stand_in).score(Histories.from_lists([[0]]))
    assert found.tolist() == [[4.0, 8.0, -50.0]]


def test_new_items_are_placed_where_asked_for_and_nowhere_else() -> None:
    data = training()
    counts = np.bincount(data.train.item_rows, minlength=len(data.catalog))
    new = np.flatnonzero(counts == 0)
    assert len(new)
    row = np.where(counts > 0, 1.0, -50.0).tolist()
    maker = FusionMaker(data)
    plain = maker.placed(Fixed(row), QUICK)
    placed = maker.placed(Fixed(row), QUICK.changed(place_new_items=True))
    history = data.valid.histories.slice(0, 1)
    assert plain.score(history)[0, new].max() == -50.0
    assert placed.score(history)[0, new].max() > -50.0
    np.testing.assert_array_equal(placed.score(history)[0, counts > 0], 1.0)
