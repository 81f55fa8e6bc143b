"""`TrainingSplit`: the part of a data set that training and validation may see."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from unimp.core.errors import ConfigError
from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import Cases, Histories, IntArray, Split
from unimp.data.interactions import RatingScale
from unimp.data.splits import last_n, leave_one_out, new_users, temporal
from unimp.sentence.template import Template
from unimp.tasks.context import TaskContext


def make_split(dataset: Dataset, name: str, seed: int = 0) -> Split:
    """The split of that name over all users of a data set."""
    histories, num_items = dataset.interactions.histories, len(dataset.catalog)
    if name == "leave-one-out":
        return leave_one_out(histories, num_items)
    if name == "last-n":
        return last_n(histories, num_items)
    if name == "new-users":
        return new_users(histories, num_items, seed=seed)
    if name == "temporal":
        return temporal(histories, num_items)
    raise ConfigError(f"split {name}: needs the held items named; use it from Python (unimp.data.splits)")


@dataclass(frozen=True)
class TrainingSplit:
    """What may be learned from and chosen by; the test cases are not in it."""

    catalog: Catalog
    rating_scale: RatingScale | None
    train: Histories
    valid: Cases
    events: pl.DataFrame | None = None
    """The interaction table, for the texts of the events that `train` and `valid` name."""
    queries: pl.DataFrame | None = None
    exclude_history: bool = True
    """Whether validation masks the items of a user's own history."""

    @classmethod
    def of(cls, dataset: Dataset, split: Split, *, exclude_history: bool = True) -> TrainingSplit:
        interactions = dataset.interactions
        return cls(
            dataset.catalog,
            interactions.rating_scale,
            split.train,
            split.valid,
            interactions.events,
            dataset.queries,
            exclude_history,
        )

    def context(self, template: Template, codes: IntArray | None = None) -> TaskContext:
        return TaskContext(
            self.catalog, template, self.train, self.rating_scale, self.events, self.queries, codes
        )
