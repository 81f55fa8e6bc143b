"""What a method is fitted on and what it answers in arrays: the protocols that every method and judge share.

No torch. The typed answers of UniMP to a user's requests stand in each task's `schema.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from unimp.data.catalog import Catalog
from unimp.data.histories import Cases, FloatArray, Histories, IntArray

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


class MethodTrainingData(Protocol):
    """The part of the benchmark's training data that UniMP and the fusion use: no test is in it."""

    @property
    def train(self) -> Histories: ...
    @property
    def valid(self) -> Cases: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def exclude_history(self) -> bool: ...


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
