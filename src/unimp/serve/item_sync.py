"""`ItemSync`: brings the store's items into the model's index: after upserts and after a restart."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unimp.core.errors import DataError
from unimp.data.upserts import NewItem
from unimp.serve.decoding import PictureDecoder
from unimp.serve.model import ServedModel
from unimp.serve.store.records import StoredItem
from unimp.serve.store.store import Store

CHUNK = 64
"""Items read and put at a time: bounds the pictures in memory, and the time that a request waits."""
VERSION_BYTES = 1000
"""Estimated memory of an item that waits, beside its picture and its texts."""


@dataclass(frozen=True)
class VersionedItem:
    """An item of the store in one version."""

    item_id: str
    version: str
    content: NewItem | None
    """None: it was removed."""

    @property
    def num_bytes(self) -> int:
        """Estimated memory."""
        if self.content is None:
            return VERSION_BYTES
        pixels = 0 if self.content.picture is None else self.content.picture.nbytes
        return VERSION_BYTES + pixels + sum(map(sys.getsizeof, self.content.attributes.values()))


class ItemSync:
    """Knows the version of each stored item that the model has. Methods block."""

    def __init__(self, model: ServedModel, store: Store, decoder: PictureDecoder) -> None:
        self.model, self.store, self.decoder = model, store, decoder
        self.versions: dict[str, str] = {}

    def outdated(self, versions: dict[str, str]) -> list[str]:
        """Ids of the items that the model has in another version, or not at all."""
        return [item_id for item_id, version in versions.items() if self.versions.get(item_id) != version]

    def read(self, item_ids: Iterable[str]) -> list[VersionedItem]:
        """The store's items, their pictures at the model's size."""
        found = self.store.items(item_ids)
        return [
            VersionedItem(item.item_id, item.version, None if item.removed else self._new_item(item))
            for item in found.values()
        ]

    def _new_item(self, item: StoredItem) -> NewItem:
        """Leaves out unknown attributes and unreadable pictures: a store may be older than the data."""
        known = {attribute.name for attribute in self.model.catalog.attributes}
        attributes = {name: text for name, text in item.attributes.items() if name in known}
        data = self.store.picture(item.item_id) if item.has_picture else None
        pixels = None
        try:
            size = self.model.picture_size
            if data is not None and size is not None:
                pixels = self.decoder.pixels(data, f'item "{item.item_id}"', *size)
        except DataError as error:
            print(f"store: {error}", file=sys.stderr, flush=True)
            data = None
        return NewItem(item.item_id, attributes, pixels, data is not None)

    def put(self, items: Sequence[VersionedItem]) -> Sequence[None]:
        """For the model's thread."""
        last = {item.item_id: item for item in items}
        self.model.remove_items([item.item_id for item in last.values() if item.content is None])
        self.model.put_items([item.content for item in last.values() if item.content is not None])
        self.versions.update({item.item_id: item.version for item in items})
        return [None] * len(items)

    def load_all(self) -> int:
        """Put every item of the store; how many. For the model's thread, before the first request."""
        outdated = self.outdated(self.store.item_versions())
        for start in range(0, len(outdated), CHUNK):
            self.put(self.read(outdated[start : start + CHUNK]))
        return len(outdated)
