"""Questions and answers, the same for UniMP and for every baseline. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from unimp.data.histories import FloatArray, Histories


@dataclass(frozen=True)
class RankedItem:
    """One recommended item; `score` is comparable within one answer only."""

    item_id: str
    title: str
    score: float


@dataclass(frozen=True)
class Recommendation:
    """Items in falling order of score."""

    items: tuple[RankedItem, ...]
    history: tuple[str, ...]
    """The item ids the answer was made from, oldest first."""
    cold_start: bool = False
    """True when there was no history: the order then rests on popularity and content alone."""


class Ranker(Protocol):
    """Whatever can order the whole catalogue for users: the only thing the benchmark asks of a method."""

    def score(self, histories: Histories) -> FloatArray:
        """[U, num_items], higher is better, finite; histories are not masked here but by the judge."""
        ...
