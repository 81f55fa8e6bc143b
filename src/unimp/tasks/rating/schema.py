"""The request and the answer of rating prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unimp.tasks.requests import ANSWER_TAIL, ItemRequest, with_example


class RateRequest(ItemRequest):
    """The rating that the user is expected to give an item."""

    model_config = with_example(user="U00001", item="P00003")


@dataclass(frozen=True)
class RatingForecast:
    """The rating that the user is expected to give, in the data's own scale."""

    item_id: str
    title: str
    mean: float
    levels: tuple[float, ...]
    probabilities: tuple[float, ...]
    """One per level; they sum to 1."""
    history: tuple[str, ...]
    cold_start: bool = False


ANSWER_EXAMPLE: dict[str, Any] = {
    "item_id": "P00003",
    "title": "Maple bag",
    "mean": 4.2,
    "levels": [1.0, 2.0, 3.0, 4.0, 5.0],
    "probabilities": [0.02, 0.03, 0.1, 0.43, 0.42],
    **ANSWER_TAIL,
}
"""What the JSON of an answer looks like."""
