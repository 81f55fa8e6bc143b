"""`GrowingCatalog`: a catalogue whose items may be changed, and followed by new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.pictures import PictureSource

UPSERTED = "[upserted] "
"""Begins the picture reference of an item whose picture is not the data folder's; its id follows."""
Fetch = Callable[[str], bytes | None]
"""item_id -> the file of its picture; None where there is none."""


@dataclass(frozen=True)
class GrowingPictures(PictureSource):
    """The data folder's pictures, and those that came later."""

    of_data: PictureSource | None = None
    fetch: Fetch = field(default=lambda _: None, compare=False)

    @classmethod
    def of(cls, of_data: PictureSource | None, fetch: Fetch) -> GrowingPictures:
        return cls(Path() if of_data is None else of_data.path, of_data, fetch)

    def read(self, references: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for reference in references:
            if not reference.startswith(UPSERTED) and self.of_data is not None:
                yield from self.of_data.read([reference])
                continue
            data = self.fetch(reference.removeprefix(UPSERTED))
            if data is None:
                raise DataError(f"picture {reference!r}: is gone from the store; put the item again")
            yield reference, data


@dataclass(frozen=True)
class GrowingCatalog(Catalog):
    """Rows never move: a new item takes the next one. `items` stays the table it began with.

    One thread puts; a reader in another sees an item with all its texts, or not at all.
    """

    @classmethod
    def of(cls, catalog: Catalog, fetch: Fetch) -> GrowingCatalog:
        pictures = GrowingPictures.of(catalog.pictures, fetch)
        return cls(catalog.items, catalog.attributes, catalog.title, pictures)

    def __len__(self) -> int:
        return len(self.item_ids)

    def check_attributes(self, item_id: str, attributes: Mapping[str, str]) -> None:
        """DataError for an attribute that the catalogue does not have."""
        known = [attribute.name for attribute in self.attributes]
        for name in attributes:
            if name not in known:
                raise DataError(f'item "{item_id}": unknown attribute "{name}"; known: {", ".join(known)}')

    def put(self, item_id: str, attributes: Mapping[str, str], *, picture: bool) -> int:
        """Insert or replace an item's texts; its row. A picture that was there stays without a new one."""
        row = self.row_of.get(item_id)
        place = len(self) if row is None else row
        for attribute in self.attributes:
            text = attributes.get(attribute.name, "").strip() or None
            if row is None:
                self.texts[attribute.name].append(text)
            else:
                self.texts[attribute.name][row] = text
        if row is None:
            self.picture_references.append(None)
        if picture:
            self.picture_references[place] = UPSERTED + item_id
        if row is None:
            self.item_ids.append(item_id)
            self.row_of[item_id] = place
        return place
