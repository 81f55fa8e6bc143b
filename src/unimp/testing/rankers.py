"""The contract of a method of the benchmark."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from unimp.baselines import METHODS, MethodEntry
from unimp.baselines.baseline import Baseline, Method
from unimp.data.histories import FloatArray, Histories
from unimp.metrics.ranking import rank_cases, ranking_metrics
from unimp.testing.world import ToyWorld, the_world


class RankerContract:
    """What every method promises. A test file inherits it: a name, a floor, and the settings to be quick.

    class TestEASE(RankerContract):
        method = "ease"
        floor = 0.3
    """

    method: ClassVar[str]
    """Name in `METHODS`."""
    entry: ClassVar[MethodEntry | None] = None
    """For methods that are not in `METHODS`."""
    settings: ClassVar[dict[str, Any]] = {}
    """Config values for the toy world."""
    again: ClassVar[dict[str, Any] | None] = None
    """Settings laid upon these where one seed is fitted twice; None: `settings`, and the fit of the floor is
    the first of the two. For methods whose fit takes seconds."""
    floor: ClassVar[float]
    """NDCG@5 that the method reaches on the toy world's test cases; Pop has about .05."""
    order_matters: ClassVar[bool] = False
    """Whether the order of a history may move its scores."""

    @pytest.fixture
    def world(self) -> ToyWorld:
        return the_world()

    @pytest.fixture
    def fitted(self, world: ToyWorld) -> Method:
        return fit_once(type(self))  # type: ignore[arg-type]  # mypy takes a class for unhashable

    @classmethod
    def fit(cls, seed: int = 0, **changed: Any) -> Method:
        """A freshly fitted method, with other settings where `changed` has them."""
        method = (cls.entry or METHODS[cls.method]).make({**cls.settings, **changed})
        method.fit(the_world().training, seed=seed)
        return method

    def test_reaches_its_floor(self, fitted: Method, world: ToyWorld) -> None:
        found = ranking_metrics(rank_cases(fitted, world.split.test), (5,))["NDCG@5"]
        assert found >= self.floor, f"NDCG@5 {found:.4f} is below the floor {self.floor}"

    def test_shape_and_finite_scores(self, fitted: Method, world: ToyWorld) -> None:
        histories = world.split.test.histories
        scores = fitted.score(histories)
        assert scores.shape == (len(histories), len(world.catalog))
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_no_users(self, fitted: Method, world: ToyWorld) -> None:
        assert fitted.score(Histories.from_lists([])).shape == (0, len(world.catalog))

    def test_empty_history_gets_popular_items(self, fitted: Method, world: ToyWorld) -> None:
        scores = fitted.score(Histories.from_lists([[], [0, 1]]))
        assert np.isfinite(scores).all()
        popularity = np.bincount(world.split.train.item_rows, minlength=len(world.catalog))
        best = int(scores[0].argmax())
        assert popularity[best] == popularity.max(), f"item {best} is not among the most popular"

    def test_unseen_user(self, fitted: Method) -> None:
        known = fitted.score(Histories.from_lists([[3, 4, 5]], ["user000"]))
        stranger = fitted.score(Histories.from_lists([[3, 4, 5]], ["never seen"]))
        np.testing.assert_array_equal(known, stranger)

    def test_unknown_item(self, fitted: Method, world: ToyWorld) -> None:
        unknown = world.unknown_item
        scores = fitted.score(Histories.from_lists([[unknown], [0, unknown, 1]]))
        assert np.isfinite(scores).all()

    def test_one_and_many_events(self, fitted: Method) -> None:
        scores = fitted.score(Histories.from_lists([[7], list(range(60)) * 3]))
        assert np.isfinite(scores).all()

    def test_other_users_in_the_batch_change_nothing(self, fitted: Method, world: ToyWorld) -> None:
        histories = world.split.test.histories.slice(0, 20)
        together = fitted.score(histories)
        alone = np.concatenate([fitted.score(histories.slice(user, user + 1)) for user in range(20)])
        # Sums over another batch shape may differ in the last bits of the largest scores, no more.
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(alone).max()))

    def test_order_of_the_history(self, fitted: Method) -> None:
        forward = fitted.score(Histories.from_lists([[10, 11, 12, 13]]))
        backward = fitted.score(Histories.from_lists([[13, 12, 11, 10]]))
        assert np.allclose(forward, backward, rtol=1e-4, atol=1e-6) != self.order_matters

    def test_same_seed_same_scores(self, fitted: Method, world: ToyWorld) -> None:
        first = fitted if self.again is None else type(self).fit(**self.again)
        second = type(self).fit(**(self.again or {}))
        np.testing.assert_array_equal(self.scores(first), self.scores(second))

    def test_scoring_leaves_the_histories_alone(self, fitted: Method, world: ToyWorld) -> None:
        before = world.split.test.histories.item_rows.copy()
        fitted.score(world.split.test.histories)
        np.testing.assert_array_equal(world.split.test.histories.item_rows, before)

    def test_save_and_load_are_exact(self, fitted: Method, tmp_path: Path) -> None:
        if not isinstance(fitted, Baseline):
            pytest.skip("saves itself by other means, tested elsewhere")
        fitted.save(tmp_path / "saved")
        loaded = type(fitted).load(tmp_path / "saved")
        assert loaded.config == fitted.config
        np.testing.assert_array_equal(self.scores(fitted), self.scores(loaded))

    def scores(self, method: Method) -> FloatArray:
        return method.score(the_world().split.test.histories)


@cache
def fit_once(contract: type[RankerContract]) -> Method:
    """One fit for all the tests of a class."""
    return contract.fit()
