"""Items as the report shows them."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from unimp.data.catalog import Catalog


@dataclass(frozen=True)
class ItemCard:
    """One item as the page shows it."""

    title: str
    picture: str
    """Data URI; empty when the item has no picture."""
    note: str
    chosen: bool = False
    """The item the user really chose next."""


def card(
    catalog: Catalog, item_id: str, pictures: dict[str, str], note: str | None = None, chosen: bool = False
) -> ItemCard:
    item = catalog.item(catalog.row_of[item_id])
    price = item.attributes.get("price")
    shown = note if note is not None else (f"{float(price):.2f}" if price else "")
    return ItemCard(catalog.label(item.row), pictures.get(item_id, ""), shown, chosen)


def data_uris(catalog: Catalog, item_ids: list[str]) -> dict[str, str]:
    """item_id -> its picture's bytes as a data URI; items without a picture are left out."""
    references = {i: catalog.picture_references[catalog.row_of[i]] for i in dict.fromkeys(item_ids)}
    named = {item_id: reference for item_id, reference in references.items() if reference is not None}
    if catalog.pictures is None:
        return {}
    read = catalog.pictures.read(named.values())
    return {
        item_id: "data:image/png;base64," + base64.b64encode(data).decode()
        for item_id, (_, data) in zip(named, read, strict=True)
    }
