"""`BenchmarkProtocol`: the rules that every method of a table was judged by."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from unimp.core.config import Config
from unimp.core.errors import ConfigError, did_you_mean
from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import Split
from unimp.data.splits import SplitName, last_n, leave_one_out, new_domain, new_users, temporal
from unimp.metrics.ranking import CUTOFFS


class BenchmarkProtocol(Config):
    """Full-catalogue ranking; the history of a test case includes the validation item, for every method.

    Results that differ in any of these fields never share a table.
    """

    split: SplitName = "leave-one-out"
    """How training, validation and test are told apart."""
    targets_per_user: int = Field(default=5, ge=1)
    """For `last-n`: how many of a user's last events are test cases."""
    hold_out: str = ""
    """For `new-domain`: `attribute=value|value…`, the items that are tested on and never trained on."""
    candidates: Literal["all", "held-out"] = "all"
    """What is ranked: the catalogue or, of `new-domain`, the held-out items alone, as a new shop would."""
    split_seed: int = 0
    """Which users are held out, where the split draws them."""
    exclude_history: bool = True
    """Whether the items of a user's own history are taken out of the ranking."""
    cutoffs: tuple[int, ...] = Field(default=CUTOFFS, min_length=1)
    """The k of HR@k, NDCG@k and MRR@k."""
    features: str = ""
    """Pretrained encoders that made the item features, with the hash of their weights; empty: none."""

    @field_validator("cutoffs")
    @classmethod
    def _are_places(cls, cutoffs: tuple[int, ...]) -> tuple[int, ...]:
        if min(cutoffs) < 1 or len(set(cutoffs)) < len(cutoffs):
            listed = ",".join(map(str, cutoffs))
            raise ValueError(f"{listed}: give different whole numbers of at least 1, such as 3,5,10")
        return cutoffs

    @model_serializer(mode="wrap")
    def _without_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Results by the ordinary rules are named as they were before there were others."""
        values: dict[str, Any] = write(self)
        ordinary = {"features": "", "candidates": "all", "targets_per_user": 5}
        return {key: value for key, value in values.items() if value != ordinary.get(key)}

    def make_split(self, dataset: Dataset) -> Split:
        """The cases of this protocol; ConfigError or DataError when the data cannot give them."""
        histories, num_items = dataset.interactions.histories, len(dataset.catalog)
        if (self.split == "new-domain") != bool(self.hold_out):
            raise ConfigError(
                f"split {self.split} with hold_out {self.hold_out!r}: "
                "new-domain, and only new-domain, names the items it holds out, such as genre=Horror|War"
            )
        if self.candidates != "all" and self.split != "new-domain":
            raise ConfigError(f"candidates {self.candidates}: only new-domain has held-out items to rank")
        if self.split == "leave-one-out":
            return leave_one_out(histories, num_items)
        if self.split == "last-n":
            return last_n(histories, num_items, count=self.targets_per_user)
        if self.split == "new-users":
            return new_users(histories, num_items, seed=self.split_seed)
        if self.split == "temporal":
            return temporal(histories, num_items)
        return new_domain(histories, num_items, held_out_items(dataset.catalog, self.hold_out))

    @property
    def cases_per_user(self) -> int:
        """Test cases of one user, side by side: what a resampling of users keeps together."""
        return self.targets_per_user if self.split == "last-n" else 1

    def ranked_items(self, dataset: Dataset) -> npt.NDArray[np.bool_] | None:
        """[num_items] the items that test cases rank; None for all."""
        return None if self.candidates == "all" else held_out_items(dataset.catalog, self.hold_out)


def held_out_items(catalog: Catalog, hold_out: str) -> npt.NDArray[np.bool_]:
    """[num_items] True for items that have one of the values of `attribute=value|value…`."""
    name, equals, values = hold_out.partition("=")
    kinds = {attribute.name: attribute.kind for attribute in catalog.attributes}
    if not equals or name not in kinds:
        raise ConfigError(f"hold_out {hold_out!r}: no attribute {name!r}{did_you_mean(name, kinds)}")
    wanted = set(values.split("|"))
    if kinds[name] == "categories":
        cells: list[list[str] | None] = catalog.items[name].to_list()
        has = [not wanted.isdisjoint(cell or ()) for cell in cells]
    else:
        has = [text in wanted for text in catalog.texts[name]]
    if not any(has):
        raise ConfigError(f"hold_out {hold_out!r}: no item has such a value; see `unimp data check`")
    return np.array(has, dtype=np.bool_)
