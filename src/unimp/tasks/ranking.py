"""What tasks that rank the catalogue share: the best items of a score, and the history as ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from unimp.answer import RankedItem
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray, Histories


def best_of(
    catalog: Catalog,
    scores_UI: FloatArray,
    histories: Histories,
    counts: Sequence[int],
    exclude_history: Sequence[bool],
) -> list[tuple[RankedItem, ...]]:
    """Each user's `counts` best items; where asked, without those of the history. Changes the scores."""
    for user, excluded in enumerate(exclude_history):
        if excluded:
            scores_UI[user, histories.items_of(user)] = -np.inf
    return best_items(catalog, scores_UI, counts)


def best_items(
    catalog: Catalog, scores_UI: FloatArray, counts: Sequence[int]
) -> list[tuple[RankedItem, ...]]:
    """Each row's `counts` best items, equals in the catalogue's order; what is -inf is left out."""
    most = min(max(counts), scores_UI.shape[1])
    places = np.argpartition(-scores_UI, most - 1, axis=1)[:, :most]
    values = np.take_along_axis(scores_UI, places, axis=1)
    order = np.lexsort((places, -values), axis=1)
    places, values = np.take_along_axis(places, order, axis=1), np.take_along_axis(values, order, axis=1)
    return [
        tuple(
            RankedItem(catalog.item_ids[row], catalog.label(row), score)
            for row, score in zip(rows[:count].tolist(), found[:count].tolist(), strict=True)
            if score > -np.inf
        )
        for rows, found, count in zip(places, values, counts, strict=True)
    ]


def history_ids(catalog: Catalog, histories: Histories) -> list[tuple[str, ...]]:
    """[U] the item ids of each history, oldest first."""
    return [
        tuple(catalog.item_ids[row] for row in histories.items_of(user).tolist())
        for user in range(len(histories))
    ]


def item_columns(answers: Sequence[Sequence[RankedItem]]) -> list[pl.Series]:
    """`item_ids` and `scores` of a batch, one list a row."""
    ids = [[item.item_id for item in items] for items in answers]
    scores = [[item.score for item in items] for items in answers]
    return [
        pl.Series("item_ids", ids, dtype=pl.List(pl.String)),
        pl.Series("scores", scores, dtype=pl.List(pl.Float32)),
    ]


def item_lines(heading: str, items: Sequence[RankedItem]) -> list[str]:
    """A heading, then place, id, title and score of every item."""
    return [
        heading,
        *(
            f"{place:3} {item.item_id:>14}  {item.title}  {item.score:.3f}"
            for place, item in enumerate(items, start=1)
        ),
    ]


def bar(share: float, width: int = 30) -> str:
    """A share in 0…1 as a bar of at most `width` blocks."""
    return "█" * round(share * width)
