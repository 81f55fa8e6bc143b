from types import SimpleNamespace

import numpy as np
import pytest

from unimp.baselines.ease import EASE, EASEConfig
from unimp.baselines.itemknn import ItemKNN, ItemKNNConfig
from unimp.data.histories import Histories
from unimp.features.item_graph import HISTORY_CAP, ItemGraph
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


@pytest.mark.parametrize("method", [ItemKNN(ItemKNNConfig()), EASE(EASEConfig())])
def test_of_one_long_history_the_latest_events_count_and_it_is_said(
    method: ItemKNN | EASE, capsys: pytest.CaptureFixture[str]
) -> None:
    """A guest checkout: an item that only its older events met stands beside nothing."""
    guest = [0] * 10 + [1 + n % 4 for n in range(HISTORY_CAP)]
    data = SimpleNamespace(train=Histories.from_lists([guest, [1, 2], [3, 4]]), num_items=5)
    method.learn(data, seed=0, show_progress=False)  # type: ignore[arg-type]  # it reads no more
    weights = method.graph.weights
    found = weights if isinstance(weights, np.ndarray) else weights.toarray()
    np.testing.assert_array_equal(found[0], 0.0)
    assert found[1, 2] > 0
    assert "1 histories have more than 5,000 events" in capsys.readouterr().err
