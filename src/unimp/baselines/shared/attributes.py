"""Categories of the catalogue as a matrix: which item has which value."""

# I items, A attribute values

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray


def attribute_matrix(catalog: Catalog, min_items: int, method: str, remedy: str) -> FloatArray:
    """[I, A] 1 where the item has the value, for the values of category columns that `min_items` items have.

    The same word in two columns is two values. DataError, with `remedy`, when no value is left.
    """
    having: dict[tuple[str, str], list[int]] = {}
    for name, cells in category_columns(catalog):
        for row, values in enumerate(cells):
            for value in set(values):
                having.setdefault((name, value), []).append(row)
    kept = [rows for rows in having.values() if len(rows) >= min_items]
    if not kept:
        found = ", ".join(f"{attribute.name} ({attribute.kind})" for attribute in catalog.attributes)
        raise DataError(
            f"{method}: the catalogue has no category or categories column with a value that {min_items}"
            f" items share (columns: {found or 'none'}); import one, {remedy}"
        )
    matrix = np.zeros((len(catalog), len(kept)), dtype=np.float32)
    for column, rows in enumerate(kept):
        matrix[rows, column] = 1.0
    return matrix


def category_columns(catalog: Catalog) -> Iterable[tuple[str, list[list[str]]]]:
    """Name and values per item of every category column; an item without a value has an empty list."""
    for attribute in catalog.attributes:
        cells = catalog.items[attribute.name].to_list() if attribute.kind != "text" else []
        if attribute.kind == "category":
            yield attribute.name, [[cell] if cell and cell.strip() else [] for cell in cells]
        elif attribute.kind == "categories":
            yield attribute.name, [[value for value in cell or [] if value] for cell in cells]
