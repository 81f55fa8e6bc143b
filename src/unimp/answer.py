"""Questions and answers, the same for UniMP and for everything it is compared with. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from unimp.data.histories import FloatArray, Histories, IntArray

PictureArray = npt.NDArray[np.uint8]
"""[Y, X, 3] RGB."""


@dataclass(frozen=True)
class Query:
    """What is looked for, or what a picture shall show: words, a picture, or both."""

    text: str = ""
    picture_row: int = -1
    """Row of the picture that is shown: a catalogue item's, or past them one from outside; -1 for none."""

    @property
    def has_picture(self) -> bool:
        return self.picture_row >= 0


@dataclass(frozen=True)
class RankedItem:
    """One item of an answer; `score` is comparable within one answer only."""

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


@dataclass(frozen=True)
class SearchResult:
    """Items in falling order of score: what the words or the picture ask for, in this user's taste."""

    items: tuple[RankedItem, ...]
    text: str
    has_picture: bool
    history: tuple[str, ...]
    cold_start: bool = False


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
    history: tuple[str, ...]
    cold_start: bool = False


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


@dataclass(frozen=True)
class Drawing:
    """Generated pictures, and what guided them."""

    pictures: tuple[PictureArray, ...] = field(compare=False)
    """Each uint8 [Y, X, 3]."""
    text: str
    attributes: dict[str, str]
    seed: int
    history: tuple[str, ...]
    cold_start: bool = False


class Ranker(Protocol):
    """Whatever can order the whole catalogue for users: the only thing the benchmark asks of a method."""

    def score(self, histories: Histories) -> FloatArray:
        """[U, num_items], higher is better, finite; histories are not masked here but by the judge."""
        ...


class Searcher(Protocol):
    """Orders the whole catalogue for a user and a query."""

    def search(self, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        """[U, num_items], higher is better, finite; one query per user."""
        ...


class Rater(Protocol):
    """Foretells ratings."""

    def rate(self, histories: Histories, item_rows: IntArray) -> FloatArray:
        """[U] expected rating of one item per user, in the data's scale; NaN: cannot tell."""
        ...


class Selector(Protocol):
    """Chooses among candidates."""

    def select(
        self, histories: Histories, candidates: Sequence[IntArray], counts: Sequence[int]
    ) -> list[IntArray]:
        """Per user the places (0-based, best first) of the `count` chosen among its candidate rows."""
        ...


@dataclass(frozen=True)
class ExplainedRating:
    """What an explainer says of one user and one item."""

    text: str
    """Empty: it has nothing to say (counted as unscored)."""
    rating: float
    """NaN: it cannot tell."""


class Explainer(Protocol):
    """Says in words why an item suits a user."""

    def explain(self, histories: Histories, item_rows: IntArray) -> list[ExplainedRating]:
        """One explanation per user."""
        ...


class Imaginer(Protocol):
    """Draws pictures."""

    def imagine(self, histories: Histories, guidance: Sequence[Query], seed: int) -> PictureArray:
        """uint8 [U, Y, X, 3], one picture per user, guided by its words and history."""
        ...
