import numpy as np
import pytest

from unimp.baselines.contentknn import ContentKNN, ContentKNNConfig, directions
from unimp.core.errors import DataError
from unimp.data.histories import Histories
from unimp.testing.rankers import RankerContract
from unimp.testing.world import ToyWorld, the_world


class TestContentText(RankerContract):
    method = "content-text"
    floor = 0.1
    order_matters = True


class TestContentImage(RankerContract):
    method = "content-image"
    floor = 0.1
    order_matters = True


class TestContentBoth(RankerContract):
    method = "content-both"
    floor = 0.1
    order_matters = True


def test_score_by_hand() -> None:
    method = ContentKNN(ContentKNNConfig(recency=0.5))
    method.popularity = np.ones(3, dtype=np.float32)
    method.likeness = np.array([[0, 0.2, 0.4], [0.2, 0, 0.6], [0.4, 0.6, 0]], dtype=np.float32)
    scores = method.score(Histories.from_lists([[0, 1]]))
    np.testing.assert_allclose(scores, [[0.2, 0.1, 0.8]], rtol=1e-6)


def test_both_adds_the_shares() -> None:
    world = the_world()
    fitted = {}
    for content in ("text", "image", "both"):
        method = ContentKNN(ContentKNNConfig(content=content, image_share=0.25, sharpness=1.0))  # type: ignore[arg-type]
        method.fit(world.training, seed=0)
        fitted[content] = method.likeness
    unit = {kind: directions(world.training.content(kind, "test")) for kind in ("text", "image")}  # type: ignore[arg-type]
    total = 0.75 * unit["text"] @ unit["text"].T + 0.25 * unit["image"] @ unit["image"].T
    np.fill_diagonal(total, 0.0)
    np.testing.assert_allclose(fitted["both"], np.maximum(total, 0.0), atol=1e-5)
    assert not np.allclose(fitted["text"], fitted["image"])


def test_directions_leave_out_what_all_share_and_items_without_content() -> None:
    found = directions(np.array([[3.0, 4.0], [1.0, 4.0], [0.0, 0.0]], dtype=np.float32))
    np.testing.assert_allclose(found, [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], atol=1e-6)


def test_missing_pictures_are_said() -> None:
    world: ToyWorld = the_world()
    data = type(world.training)(world.training.train, world.training.valid, world.training.catalog)
    with pytest.raises(DataError, match="contentknn: needs image features"):
        ContentKNN(ContentKNNConfig(content="image")).fit(data, seed=0)
