"""What rating prediction is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from unimp.tasks.requests import ItemField, TaskRequest, with_example


class RateRequest(TaskRequest):
    """The rating that the user is expected to give an item."""

    model_config = with_example(user="U00001", item="P00003")

    item: ItemField
    """The item's id."""

    @property
    def item_ids(self) -> tuple[str, ...]:
        return (self.item,)


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
