"""A toy world with structure to find."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from unimp.baselines.baseline import TrainingData
from unimp.data.catalog import Attribute, Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray, Split
from unimp.data.interactions import COLUMNS, Interactions
from unimp.data.splits import leave_one_out

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


@cache
def the_world() -> ToyWorld:
    return toy_world()
