"""`Items`: what the service shows of an item: the catalogue's, or what was upserted since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unimp.data.catalog import Catalog
from unimp.serve.decoding import PictureDecoder
from unimp.serve.model import ServedModel
from unimp.serve.pictures import SHOWN_PIXELS, PictureCache
from unimp.serve.schemas import ItemOut
from unimp.serve.store.records import StoredItem
from unimp.serve.store.store import Store

VERSION_LETTERS = 12
"""Of an item's version in the address of its picture."""
NEVER_UPSERTED = "0"
"""Takes the version's place there."""


@dataclass(frozen=True)
class PictureFile:
    """An item's picture as it was given."""

    data: bytes
    version: str
    """See `picture_version`."""


@dataclass(frozen=True)
class ShownPicture:
    """An item's picture for a browser."""

    png: bytes
    version: str


class Items:
    """The catalogue with the store laid upon it. Methods block."""

    def __init__(
        self, model: ServedModel, store: Store, decoder: PictureDecoder, picture_cache_bytes: int
    ) -> None:
        self.model, self.store, self.decoder = model, store, decoder
        self.pictures = PictureCache(picture_cache_bytes)

    @property
    def catalog(self) -> Catalog:
        """Its newest version."""
        return self.model.catalog

    def check(self, item_ids: Iterable[str]) -> None:
        """DataError unless the catalogue or the store (another server may have put them) has them all."""
        new = list(dict.fromkeys(item_id for item_id in item_ids if item_id not in self.catalog.row_of))
        stored = self.store.items(new) if new else {}
        self.catalog.rows([item_id for item_id in new if item_id not in stored or stored[item_id].removed])

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
        if (stored is None and row is None) or (stored is not None and stored.removed):
            return None
        known = self.catalog.item(row) if row is not None else None
        attributes = stored.attributes if stored else known.attributes if known else {}
        picture = bool((stored and stored.has_picture) or (known and known.picture))
        title = attributes.get(self.catalog.title or "", "") or item_id
        return ItemOut(
            item=item_id,
            title=title,
            attributes=attributes,
            picture=picture,
            rankable=row is not None,
            version=picture_version(stored.version if stored else ""),
        )

    def cached_picture(self, item_id: str, version: str) -> ShownPicture | None:
        """The picture in that version, if it was made before. Does not block."""
        made = self.pictures.get(f"{version} {item_id}")
        return None if made is None else ShownPicture(made, version)

    def picture_file(self, item_id: str) -> PictureFile | None:
        """The picture as it was upserted or imported. It is named by the catalogue, never by the request."""
        stored = self.store.items([item_id]).get(item_id)
        version = picture_version(stored.version if stored else "")
        if stored is not None and stored.removed:
            return None
        if stored is not None and (picture := self.store.picture(item_id)) is not None:
            return PictureFile(picture, version)
        row = self.catalog.row_of.get(item_id)
        reference = self.catalog.picture_references[row] if row is not None else None
        if reference is None or self.catalog.pictures is None:
            return None
        return PictureFile(next(iter(self.catalog.pictures.read([reference])))[1], version)

    def show_picture(self, item_id: str, file: PictureFile) -> ShownPicture:
        """PNG for a browser, never the stranger's own bytes; cached under its version.

        The version was read before the file: a picture that is replaced meanwhile is cached under the former
        version, and so is never shown for the new one.
        """
        made = self.decoder.png(file.data, f'item "{item_id}"', SHOWN_PIXELS)
        self.pictures.put(f"{file.version} {item_id}", made)
        return ShownPicture(made, file.version)


def picture_version(version: str) -> str:
    """The item's version as the address of its picture has it."""
    return version[:VERSION_LETTERS] or NEVER_UPSERTED
