"""The request and the answer of explanation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unimp.tasks.requests import ANSWER_TAIL, ItemRequest, with_example


class ExplainRequest(ItemRequest):
    """Why an item suits the user, in words."""

    model_config = with_example(user="U00001", item="P00003")


@dataclass(frozen=True)
class Explanation:
    """Why the item suits the user, in words, with the rating as a number."""

    item_id: str
    title: str
    text: str
    rating: float
    """Mean of the forecast made with the text; never read back from it."""
    named: tuple[str, ...]
    """The item's own attribute values (or learned aspects) that the text names."""
    because: tuple[str, ...]
    """At most two sentences on what ties the item to the user's own history: counted, not generated."""
    relations: tuple[str, ...]
    """What ties the item to the history, strongest first, where the run's ranker has learned it.

    `same brand`, `bought together`, `alike in words` …"""
    history: tuple[str, ...]
    cold_start: bool = False


ANSWER_EXAMPLE: dict[str, Any] = {
    "item_id": "P00003",
    "title": "Maple bag",
    "text": "A red bag like the ones you chose, in soft leather.",
    "rating": 4.2,
    "named": ["red", "leather"],
    "because": ["It looks like Linden bag, which you chose.", "Others who chose Maple bag chose it too."],
    "relations": ["alike in pictures", "bought together"],
    **ANSWER_TAIL,
}
"""What the JSON of an answer looks like."""
