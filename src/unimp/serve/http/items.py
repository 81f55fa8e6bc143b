"""`Items`: what the service shows of an item: the catalogue's, or what was upserted since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unimp.data.catalog import Catalog
from unimp.data.pictures import open_picture
from unimp.serve.http.live_model import LiveModel
from unimp.serve.http.pictures import PictureCache, shown
from unimp.serve.http.schemas import ItemOut
from unimp.serve.store.store import Store, StoredItem


class Items:
    """The catalogue with the store laid upon it. Methods block."""

    def __init__(self, live: LiveModel, store: Store) -> None:
        self.live, self.store = live, store
        self.pictures = PictureCache()

    @property
    def catalog(self) -> Catalog:
        return self.live.catalog

    def check(self, item_ids: Iterable[str]) -> None:
        """DataError unless the catalogue or the store (another server may have put them) has them all."""
        new = list(dict.fromkeys(item_id for item_id in item_ids if item_id not in self.catalog.row_of))
        stored = self.store.items(new) if new else {}
        self.catalog.rows([item_id for item_id in new if item_id not in stored])

    def view(self, item_id: str) -> ItemOut | None:
        """None for an unknown item."""
        return next(iter(self.views([item_id])), None)

    def views(self, item_ids: Sequence[str]) -> list[ItemOut]:
        """Those that are known, in that order."""
        stored = self.store.items(item_ids) if item_ids else {}
        views = (self._view(item_id, stored.get(item_id)) for item_id in item_ids)
        return [view for view in views if view is not None]

    def _view(self, item_id: str, stored: StoredItem | None) -> ItemOut | None:
        row = self.catalog.row_of.get(item_id)
        if stored is None and row is None:
            return None
        known = self.catalog.item(row) if row is not None else None
        attributes = stored.attributes if stored else known.attributes if known else {}
        picture = bool((stored and stored.has_picture) or (known and known.picture))
        title = attributes.get(self.catalog.title or "", "") or item_id
        return ItemOut(
            item=item_id, title=title, attributes=attributes, picture=picture, rankable=row is not None
        )

    def picture(self, item_id: str) -> bytes | None:
        """PNG for a browser, or None. The file is named by the catalogue, never by the request."""
        if (kept := self.pictures.get(item_id)) is not None:
            return kept
        data = self._picture_file(item_id)
        if data is None:
            return None
        made = shown(open_picture(data, f'item "{item_id}"'))
        self.pictures.put(item_id, made)
        return made

    def _picture_file(self, item_id: str) -> bytes | None:
        if (stored := self.store.picture(item_id)) is not None:
            return stored
        row = self.catalog.row_of.get(item_id)
        reference = self.catalog.picture_references[row] if row is not None else None
        if reference is None or self.catalog.pictures is None:
            return None
        return next(iter(self.catalog.pictures.read([reference])))[1]
