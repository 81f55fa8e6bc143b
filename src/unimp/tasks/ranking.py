"""What tasks that rank the catalogue share: the best items of a score, and the history as ids."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from unimp.answer import RankedItem
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray, Histories
from unimp.inference.scored_rows import ScoredRows, best_rows


def best_of(
    catalog: Catalog,
    scores_UI: FloatArray,
    histories: Histories,
    counts: Sequence[int],
    exclude_history: Sequence[bool | None],
) -> list[tuple[RankedItem, ...]]:
    """Each user's `counts` best items; where asked, without those of the history. Changes the scores."""
    return ranked_items(catalog, best_rows(scores_UI, histories, counts, exclude_history))


def ranked_items(catalog: Catalog, answers: Sequence[ScoredRows]) -> list[tuple[RankedItem, ...]]:
    """Each answer's items with their ids and titles."""
    return [
        tuple(
            RankedItem(catalog.item_ids[row], catalog.label(row), score)
            for row, score in zip(answer.rows.tolist(), answer.scores.tolist(), strict=True)
        )
        for answer in answers
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
            f"{place:3} {titled(item.item_id, item.title)}  {item.score:.3f}"
            for place, item in enumerate(items, start=1)
        ),
    ]


def bar(share: float, width: int = 30) -> str:
    """A share in 0…1 as a bar of at most `width` blocks."""
    return "█" * round(share * width)


def titled(item_id: str, title: str) -> str:
    """An item for a terminal; one without a title goes by its id, which is not printed twice."""
    return f"{item_id:>14}" + (f"  {title}" if title != item_id else "")
