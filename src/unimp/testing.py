"""For tests: a toy world with structure to find, and the contract that every method has to keep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from unimp.baselines import METHODS, MethodEntry
from unimp.baselines.baseline import Baseline, Method, TrainingData
from unimp.data.catalog import Attribute, Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray, Histories, Split
from unimp.data.interactions import COLUMNS, Interactions
from unimp.data.splits import leave_one_out
from unimp.metrics.ranking import rank_cases, ranking_metrics

NUM_CLUSTERS, CLUSTER_SIZE, NUM_USERS = 6, 10, 200
FOLLOW = 0.75
"""Probability that the next item is the successor in its cluster."""


@dataclass(frozen=True)
class ToyWorld:
    """200 users, 60 items in 6 clusters, and one item that nobody ever had (the last row).

    A user stays in one cluster and mostly walks round its circle of items, so both who-had-what and
    what-came-next can be learnt, while all items are about equally popular.
    """

    catalog: Catalog
    interactions: Interactions
    split: Split
    """Leave-one-out."""

    @property
    def training(self) -> TrainingData:
        return TrainingData.of(self.split, self.catalog, features=ToyFeatures())

    @property
    def unknown_item(self) -> int:
        """Row of the item that occurs in no history."""
        return len(self.catalog) - 1

    def write(self, folder: Path) -> Dataset:
        """The world as a data folder."""
        return Dataset.write(folder, self.catalog, self.interactions, source="toy")


class ToyFeatures:
    """What a picture and a title would tell: the cluster's colour, and the place in its circle."""

    def text(self) -> FloatArray:
        """[61, 16] unit rows: one column per cluster and one per place."""
        rows = np.arange(NUM_CLUSTERS * CLUSTER_SIZE + 1)
        table = np.zeros((len(rows), NUM_CLUSTERS + CLUSTER_SIZE), dtype=np.float32)
        table[rows, rows // CLUSTER_SIZE % NUM_CLUSTERS] = 0.8
        table[rows, NUM_CLUSTERS + rows % CLUSTER_SIZE] = 0.6
        return table

    def image(self) -> FloatArray:
        """[61, 8] the cluster's colour and a little noise; the item that nobody had has no picture."""
        rows = np.arange(NUM_CLUSTERS * CLUSTER_SIZE + 1)
        random = np.random.default_rng(7)
        colours = random.standard_normal((NUM_CLUSTERS, 8))
        table = colours[rows // CLUSTER_SIZE % NUM_CLUSTERS] + 0.1 * random.standard_normal((len(rows), 8))
        table[-1] = 0.0
        return table.astype(np.float32)


def toy_world(seed: int = 0) -> ToyWorld:
    """The same world for the same seed."""
    random = np.random.default_rng(seed)
    walks = [walk(user % NUM_CLUSTERS, random) for user in range(NUM_USERS)]
    rows = [row for steps in walks for row in steps]
    columns = {
        "user_id": [f"user{user:03}" for user, steps in enumerate(walks) for _ in steps],
        "item_row": rows,
        "timestamp": [1_600_000_000 + 60 * step for steps in walks for step in range(len(steps))],
        "rating": random.integers(1, 6, len(rows)).astype(np.float32),
        "summary": [None] * len(rows),
        "review": [None] * len(rows),
    }
    interactions = Interactions(pl.DataFrame(columns, schema=COLUMNS))
    catalog = toy_catalog()
    return ToyWorld(catalog, interactions, leave_one_out(interactions.histories, len(catalog)))


def walk(cluster: int, random: np.random.Generator) -> list[int]:
    """Four to eight different items of one cluster, mostly each the successor of the one before."""
    places = [int(random.integers(CLUSTER_SIZE))]
    for _ in range(int(random.integers(3, 8))):
        successor = (places[-1] + 1) % CLUSTER_SIZE
        if successor in places or random.random() > FOLLOW:
            successor = int(random.choice([place for place in range(CLUSTER_SIZE) if place not in places]))
        places.append(successor)
    return [cluster * CLUSTER_SIZE + place for place in places]


def toy_catalog() -> Catalog:
    """Titles, a kind that names the cluster, a price; no pictures."""
    colours = ("red", "blue", "green", "black", "white", "yellow")
    num_items = NUM_CLUSTERS * CLUSTER_SIZE + 1
    kinds = [colours[row // CLUSTER_SIZE % NUM_CLUSTERS] for row in range(num_items)]
    items = pl.DataFrame(
        {
            "item_id": [f"item{row:02}" for row in range(num_items)],
            "picture": pl.Series([None] * num_items, dtype=pl.String),
            "title": [f"{kind} thing number {row % CLUSTER_SIZE}" for row, kind in enumerate(kinds)],
            "kind": kinds,
            "price": [1.0 + row % CLUSTER_SIZE for row in range(num_items)],
        }
    )
    attributes = (Attribute("title", "text"), Attribute("kind", "category"), Attribute("price", "number"))
    return Catalog(items, attributes, title="title")


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
    def fit(cls, seed: int = 0) -> Method:
        """A freshly fitted method."""
        method = (cls.entry or METHODS[cls.method]).make(cls.settings)
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
        # Sums over another batch shape may differ in their last bits, no more.
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)

    def test_order_of_the_history(self, fitted: Method) -> None:
        forward = fitted.score(Histories.from_lists([[10, 11, 12, 13]]))
        backward = fitted.score(Histories.from_lists([[13, 12, 11, 10]]))
        assert np.allclose(forward, backward, rtol=1e-4, atol=1e-6) != self.order_matters

    def test_same_seed_same_scores(self, fitted: Method, world: ToyWorld) -> None:
        again = type(self).fit()
        np.testing.assert_array_equal(self.scores(fitted), self.scores(again))

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
def the_world() -> ToyWorld:
    return toy_world()


@cache
def fit_once(contract: type[RankerContract]) -> Method:
    """One fit for all the tests of a class."""
    return contract.fit()
