import numpy as np

from unimp.data.histories import Histories
from unimp.testing.rankers import RankerContract


class TestPop(RankerContract):
    method = "pop"
    floor = 0.02

    def test_counts_every_event(self, fitted, world) -> None:
        scores = fitted.score(Histories.from_lists([[0], []]))
        expected = np.bincount(world.split.train.item_rows, minlength=len(world.catalog))
        np.testing.assert_array_equal(scores[0], expected)
        np.testing.assert_array_equal(scores[1], expected)
