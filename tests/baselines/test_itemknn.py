import numpy as np

from unimp.baselines.itemknn import ItemKNN, ItemKNNConfig
from unimp.data.histories import Histories
from unimp.features.item_graph import ItemGraph
from unimp.testing.rankers import RankerContract


class TestItemKNN(RankerContract):
    method = "itemknn"
    floor = 0.6


class TestItemKNNWithRecency(RankerContract):
    method = "itemknn-recency"
    floor = 0.7
    order_matters = True


class TestItemKNNWithFewNeighbours(RankerContract):
    method = "itemknn"
    settings = {"neighbours": 5, "shrink": 1.0}  # noqa: RUF012
    floor = 0.55


def test_the_latest_item_weighs_one_and_each_before_it_recency_times_less() -> None:
    method = ItemKNN(ItemKNNConfig(recency=0.5))
    method.popularity = np.ones(4, dtype=np.float32)
    method.graph = ItemGraph(np.eye(4, dtype=np.float32))
    scores = method.score(Histories.from_lists([[0, 1, 2], [1, 0, 1]]))
    np.testing.assert_allclose(scores, [[0.25, 0.5, 1.0, 0.0], [0.5, 1.0, 0.0, 0.0]], rtol=1e-5)
