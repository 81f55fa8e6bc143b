"""`LiveModel`: the newest version of a personalizer whose catalogue changes while it answers."""

from __future__ import annotations

from collections.abc import Sequence

from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.upserts import Fetch, NewItem
from unimp.inference.prefix_cache import PrefixCache
from unimp.personalizer import Personalizer
from unimp.runs.answerer import Answerer


class LiveModel:
    """`put` and answers belong to the model's thread; any thread may read the catalogue of the moment."""

    def __init__(self, trained: Personalizer, fetch: Fetch, prefixes: PrefixCache | None) -> None:
        """`prefixes`: what answers remember of the users; None: nothing."""
        self.prefixes = prefixes
        self.personalizer = trained.with_fetch(fetch)
        self.answerer = self._cached()

    def _cached(self) -> Answerer:
        answerer = self.personalizer.answerer
        return answerer if self.prefixes is None else answerer.with_cache(self.prefixes)

    @property
    def catalog(self) -> Catalog:
        return self.dataset.catalog

    @property
    def dataset(self) -> Dataset:
        return self.personalizer.run.dataset

    def put(self, items: Sequence[NewItem]) -> None:
        """Insert or replace items; prefixes that hold one of the replaced are dropped."""
        known = [item.item_id for item in items if item.item_id in self.catalog.row_of]
        self.personalizer = self.personalizer.upsert_items(items, in_place=True)
        self.answerer = self._cached()
        if self.prefixes is not None:
            self.prefixes.forget_items(self.catalog.rows(known))
