"""What selection is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from unimp.tasks.requests import ANSWER_TAIL, MOST_CANDIDATES, FieldForm, Id, TaskRequest, with_example


def different(ids: tuple[str, ...]) -> tuple[str, ...]:
    """One that is named twice is one candidate."""
    found = tuple(dict.fromkeys(ids))
    if not 1 <= len(found) <= MOST_CANDIDATES:
        raise ValueError(f"give 1 to {MOST_CANDIDATES:,} different items (got {len(found):,})")
    return found


class SelectRequest(TaskRequest):
    """Which of the candidates the user would choose."""

    model_config = with_example(user="U00001", candidates=["P00003", "P00007", "P00011"], count=1)

    candidates: Annotated[
        tuple[Id, ...],
        AfterValidator(different),
        FieldForm(help="Item ids separated by commas; their order is all one.", column="candidates"),
    ]
    """Item ids; their order does not matter."""
    count: Annotated[
        int | None,
        Field(ge=1, le=MOST_CANDIDATES),
        FieldForm(help="How many to choose; 0 leaves it to the model.", column="count", optional=True),
    ] = 1
    """How many to choose; null: as many as suit."""

    @model_validator(mode="after")
    def count_fits(self) -> Self:
        number = len(self.candidates)
        if self.count is not None and self.count > number:
            raise ValueError(f"count: must be 1 to {number}, the number of candidates (got {self.count})")
        return self

    @property
    def item_ids(self) -> tuple[str, ...]:
        return self.candidates


@dataclass(frozen=True)
class Candidate:
    """One of the items to select from."""

    item_id: str
    title: str
    probability: float
    """Of being the first choice among the candidates; they sum to 1."""
    chosen: bool


@dataclass(frozen=True)
class Selection:
    """The candidates in the order given, and the chosen ones in falling order."""

    candidates: tuple[Candidate, ...]
    chosen: tuple[str, ...]
    history: tuple[str, ...]
    cold_start: bool = False


ANSWER_EXAMPLE: dict[str, Any] = {
    "candidates": [
        {"item_id": "P00003", "title": "Maple bag", "probability": 0.7, "chosen": True},
        {"item_id": "P00007", "title": "Linden bag", "probability": 0.3, "chosen": False},
    ],
    "chosen": ["P00003"],
    **ANSWER_TAIL,
}
"""What the JSON of an answer looks like."""
