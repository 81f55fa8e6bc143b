"""Items that come after training, and where their pictures come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unimp.core.errors import DataError
from unimp.data.pictures import PictureSource, PixelArray

UPSERTED = "[upserted] "
"""Begins the picture reference of an item whose picture is not the data folder's; its id follows."""
Fetch = Callable[[str], bytes | None]
"""item_id -> the file of its picture; None where there is none."""


def fetch_nothing(item_id: str) -> bytes | None:
    """No picture of an upserted item can be read again."""
    return None


@dataclass(frozen=True)
class NewItem:
    """An item to insert, or to replace."""

    item_id: str
    attributes: Mapping[str, str]
    """By name; all of them: what is left out is missing from now on."""
    picture: PixelArray | None = None
    """[Y, X, 3] at the model's size (`Personalizer.item_pixels`); None leaves the picture that was there."""
    pictured: bool = False
    """It has a picture, though the model reads none."""

    @property
    def has_new_picture(self) -> bool:
        return self.pictured or self.picture is not None


@dataclass(frozen=True)
class UpsertedPictures(PictureSource):
    """The data folder's pictures, and those of items that were upserted."""

    of_data: PictureSource | None = None
    fetch: Fetch = field(default=fetch_nothing, compare=False)

    @classmethod
    def over(cls, source: PictureSource | None, fetch: Fetch = fetch_nothing) -> UpsertedPictures:
        of_data = source.of_data if isinstance(source, UpsertedPictures) else source
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
