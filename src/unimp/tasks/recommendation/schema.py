"""The request and the answer of recommendation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unimp.answer import RankedItem
from unimp.tasks.requests import (
    ANSWER_TAIL,
    ITEMS_EXAMPLE,
    ExcludeHistory,
    ItemCount,
    TaskRequest,
    with_example,
)


class RecommendRequest(TaskRequest):
    """The items that the user will like next, from the whole catalogue."""

    model_config = with_example(user="U00001", k=5)

    k: ItemCount = 10
    """How many items."""
    exclude_history: ExcludeHistory = None
    """Leave out the items of the history."""


@dataclass(frozen=True)
class Recommendation:
    """Items in falling order of score."""

    items: tuple[RankedItem, ...]
    history: tuple[str, ...]
    """The item ids the answer was made from, oldest first."""
    cold_start: bool = False
    """True when there was no history: the order then rests on popularity and content alone."""


ANSWER_EXAMPLE: dict[str, Any] = {"items": ITEMS_EXAMPLE, **ANSWER_TAIL}
"""What the JSON of an answer looks like."""
