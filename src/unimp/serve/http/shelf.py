"""`Shelf`: brings the store's items into the stock: when they are upserted, and after a restart."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from unimp.core.errors import DataError
from unimp.data.upserts import NewItem
from unimp.serve.http.live_model import LiveModel
from unimp.serve.store.store import Store, StoredItem

AT_ONCE = 64
"""Items read and put at a time: bounds the pictures in memory, and how long a question waits."""


class Shelf:
    """Which version of each stored item the stock holds. Methods block."""

    def __init__(self, live: LiveModel, store: Store) -> None:
        self.live, self.store = live, store
        self.versions: dict[str, str] = {}

    def missing(self, versions: dict[str, str]) -> list[str]:
        """Ids of the items that the stock has in another version, or not at all."""
        return [item_id for item_id, version in versions.items() if self.versions.get(item_id) != version]

    def read(self, item_ids: Iterable[str]) -> list[tuple[NewItem, str]]:
        """The store's items with their pictures as the model sees them, and their versions."""
        found = self.store.items(item_ids)
        return [(self._new(item), item.version) for item in found.values()]

    def _new(self, item: StoredItem) -> NewItem:
        """Without what the data do not know, or cannot be seen: a store may be older than they are."""
        known = {attribute.name for attribute in self.live.catalog.attributes}
        told = {name: text for name, text in item.attributes.items() if name in known}
        data = self.store.picture(item.item_id) if item.has_picture else None
        pixels = None
        try:
            pixels = self.live.personalizer.item_pixels(data, item.item_id) if data is not None else None
        except DataError as error:
            print(f"store: {error}", file=sys.stderr, flush=True)
            data = None
        return NewItem(item.item_id, told, pixels, data is not None)

    def put(self, items: Sequence[tuple[NewItem, str]]) -> Sequence[None]:
        """For the model's thread."""
        self.live.put([item for item, _ in items])
        self.versions.update({item.item_id: version for item, version in items})
        return [None] * len(items)

    def open(self) -> int:
        """Put everything that the store has; how many. Before the first question."""
        missing = self.missing(self.store.news(0, 0).versions)
        for start in range(0, len(missing), AT_ONCE):
            self.put(self.read(missing[start : start + AT_ONCE]))
        return len(missing)
