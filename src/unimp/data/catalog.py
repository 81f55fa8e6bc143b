"""`Catalog`: what the items are. Any attributes, any order, missing values explicit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import polars as pl

from unimp.core.errors import DataError
from unimp.data.columns import Column, RowNumbers
from unimp.data.nearest import NearestId
from unimp.data.pictures import PictureSource
from unimp.data.upserts import UPSERTED, Fetch, NewItem, UpsertedPictures

AttributeKind = Literal["text", "category", "categories", "number"]
ATTRIBUTE_DTYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "category": pl.String(),
    "categories": pl.List(pl.String()),
    "number": pl.Float64(),
}


@dataclass(frozen=True)
class Attribute:
    """One column of the catalogue.

    `text` is free words, `category` one of few values, `categories` a list of such, `number` a float.
    """

    name: str
    kind: AttributeKind


@dataclass(frozen=True)
class Item:
    """One item as people and templates see it.

    `attributes` keeps the catalogue's order and holds present values only, already as text;
    `picture` is the reference within the picture source, None when the item has no picture.
    """

    item_id: str
    row: int
    attributes: dict[str, str]
    picture: str | None


@dataclass(frozen=True)
class ItemColumns:
    """The items of a catalogue that was changed, by row."""

    item_ids: Column[str]
    row_of: RowNumbers
    texts: Mapping[str, Column[str | None]]
    picture_references: Column[str | None]


@dataclass(frozen=True)
class Catalog:
    """All items, in row order.

    `items` has `item_id` (text, unique), `picture` (text or null) and one column per attribute, null where
    a value is missing. `item_row`, the position in this table, is how every other room names an item. Rows
    never move; `items` stays the table as it was read, whatever `with_items` adds to the columns.
    """

    items: pl.DataFrame
    attributes: tuple[Attribute, ...]
    title: str | None = None
    """The attribute that names an item to a person; None when there is none."""
    pictures: PictureSource | None = field(default=None, compare=False)
    changed: ItemColumns | None = field(default=None, compare=False, repr=False)
    """The columns since the first `with_items`; None: those of `items`."""

    def __post_init__(self) -> None:
        if self.items.is_empty():
            raise DataError("catalogue: no items; check the source's path and filters")
        names = {attribute.name for attribute in self.attributes}
        missing = ({"item_id", "picture"} | names) - set(self.items.columns)
        if missing:
            raise DataError(f"catalogue: column(s) missing: {', '.join(sorted(missing))}")
        if self.title is not None and self.title not in names:
            raise DataError(f"catalogue: title column {self.title!r} is not an attribute")

    def __len__(self) -> int:
        return self.items.height if self.changed is None else len(self.changed.item_ids)

    @cached_property
    def item_ids(self) -> Sequence[str]:
        return self.items["item_id"].to_list() if self.changed is None else self.changed.item_ids

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """item_id -> item_row."""
        if self.changed is not None:
            return self.changed.row_of
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def texts(self) -> Mapping[str, Sequence[str | None]]:
        """Each attribute as text, one entry per item row; None is a missing value."""
        if self.changed is not None:
            return self.changed.texts
        return {attribute.name: attribute_text(self.items, attribute) for attribute in self.attributes}

    @cached_property
    def picture_references(self) -> Sequence[str | None]:
        return self.items["picture"].to_list() if self.changed is None else self.changed.picture_references

    def with_items(self, items: Sequence[NewItem]) -> Catalog:
        """The catalogue with these items inserted, or replaced; this one stays as it is.

        New items take the rows behind the last one. Of an item that is named twice the last counts; a picture
        stays without a new one. DataError for an attribute that the catalogue does not have.
        """
        for item in items:
            self.check_attributes(item.item_id, item.attributes)
        old = self.changed or ItemColumns(
            Column(self.item_ids),
            RowNumbers(self.row_of),
            {name: Column(values) for name, values in self.texts.items()},
            Column(self.picture_references),
        )
        new_ids = list(dict.fromkeys(item.item_id for item in items if item.item_id not in old.row_of))
        row_of = old.row_of.with_ids(new_ids)
        latest = {row_of[item.item_id]: item for item in items}
        references = {row_of[item_id]: None for item_id in new_ids} | {
            row_of[item.item_id]: UPSERTED + item.item_id for item in items if item.has_new_picture
        }
        columns = ItemColumns(
            old.item_ids.with_rows({row_of[item_id]: item_id for item_id in new_ids}),
            row_of,
            {
                name: column.with_rows(
                    {row: item.attributes.get(name, "").strip() or None for row, item in latest.items()}
                )
                for name, column in old.texts.items()
            },
            old.picture_references.with_rows(references),
        )
        pictures = self.pictures
        if not isinstance(pictures, UpsertedPictures):
            pictures = UpsertedPictures.over(pictures)
        return replace(self, pictures=pictures, changed=columns)

    def with_fetch(self, fetch: Fetch) -> Catalog:
        """The catalogue that reads the pictures of upserted items with `fetch`."""
        return replace(self, pictures=UpsertedPictures.over(self.pictures, fetch))

    def check_attributes(self, item_id: str, attributes: Mapping[str, str]) -> None:
        """DataError for an attribute that the catalogue does not have."""
        known = [attribute.name for attribute in self.attributes]
        for name in attributes:
            if name not in known:
                raise DataError(f'item "{item_id}": unknown attribute "{name}"; known: {", ".join(known)}')

    def terms(self, name: str, row: int) -> list[str]:
        """The values of a `categories` attribute; a value that holds a comma stays whole.

        An item that was put or changed later is known by its text alone, which is parted at commas.
        """
        text = self.texts[name][row]
        if text is None:
            return []
        values = self._lists[name][row] if row < self.items.height else None
        whole = [value for value in values or () if value is not None]
        return whole if ", ".join(whole) == text else text.split(", ")

    @cached_property
    def _lists(self) -> dict[str, list[list[str] | None]]:
        names = [attribute.name for attribute in self.attributes if attribute.kind == "categories"]
        return {name: self.items[name].to_list() for name in names}

    def item(self, row: int) -> Item:
        present = {name: text for name, values in self.texts.items() if (text := values[row]) is not None}
        return Item(self.item_ids[row], row, present, self.picture_references[row])

    def label(self, row: int) -> str:
        """The title of an item, or its id."""
        title = self.texts[self.title][row] if self.title else None
        return title or self.item_ids[row]

    def rows(self, item_ids: Sequence[str]) -> list[int]:
        """Rows of `item_ids`; DataError names the first that the catalogue lacks."""
        rows = []
        for item_id in item_ids:
            row = self.row_of.get(item_id)
            if row is None:
                raise DataError(f'unknown item "{item_id}"{NearestId(self.row_of).hint(item_id)}')
            rows.append(row)
        return rows


def attribute_text(items: pl.DataFrame, attribute: Attribute) -> list[str | None]:
    """The values of one attribute as text; blank text, an empty list and NaN count as missing."""
    column = pl.col(attribute.name)
    if attribute.kind == "categories":
        text = column.list.join(", ")
    elif attribute.kind == "number":
        return [
            None if value is None or value != value else f"{value:.6g}" for value in items[attribute.name]
        ]
    else:
        text = column.str.strip_chars()
    return items.select(pl.when(text.str.len_chars() > 0).then(text))[attribute.name].to_list()
