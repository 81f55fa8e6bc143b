"""The second stage of recommendation: whatever orders the catalogue anew, the model's score in hand."""

# U users, I items, N items that the stage knows

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from unimp.data.histories import FloatArray, Histories, IntArray

ReasonKind = Literal["value", "bought", "next", "words", "pictures", "other"]
"""What a reason is about: a value that both have, what others chose, what came next, likeness, or else."""


@dataclass(frozen=True)
class Reason:
    """A relation of one user's history to an item that speaks for the item."""

    relation: str
    """`same brand`, `bought together`, `alike in words` …"""
    kind: ReasonKind = "other"
    attribute: str = ""
    """Of kind `value`: the attribute whose value history and item share."""
    rows: tuple[int, ...] = ()
    """Items of the history that it rests on: the latest first of a shared value, else the strongest first."""


class SecondStage(Protocol):
    """Satisfied by `unimp.fusion.second_stage.LearnedStage`."""

    exclude_history: bool
    """Whether it was fitted with a user's own items left out."""

    @property
    def num_items(self) -> int:
        """N: items that came later are unknown to it."""
        ...

    def prepare(self) -> None:
        """Come by all that answers stand on, which the first of them would else wait for."""
        ...

    def score(
        self, histories: Histories, log_probabilities: FloatArray, left_out: IntArray, *, exclude: bool
    ) -> FloatArray:
        """[U, N], higher is better, for users with a history. log_probabilities: [U, N] of the model.

        The rows `left_out`, and with `exclude` each user's own, take no place among the first.
        """
        ...

    def reasons(self, history: Histories, log_probabilities_N: FloatArray, item_row: int) -> list[Reason]:
        """What speaks for a known item after one user's history, strongest first."""
        ...


def with_unknown(staged_UN: FloatArray, closed_UI: FloatArray) -> FloatArray:
    """[U, I] the stage's scores; an item that it does not know takes the place that `closed` gives it.

    Unknown items that `closed` holds equal, to four digits, stay equal: their rows are in the order in which
    they came, and what is alike was computed in other company on another server.
    """
    known = staged_UN.shape[1]
    scores_UI = np.full(closed_UI.shape, -np.inf, dtype=np.float32)
    scores_UI[:, :known] = staged_UN
    for scores_I, closed_I in zip(scores_UI, closed_UI, strict=True):
        falling = -np.sort(-scores_I[:known])
        new = np.flatnonzero(closed_I[known:] > -np.inf) + known  # a removed item stays where it is
        rounded_I = closed_I.round(4)
        better = len(closed_I) - np.searchsorted(np.sort(rounded_I), rounded_I[new], side="right")
        scores_I[new] = np.nextafter(falling[np.minimum(better, known - 1)], np.float32(np.inf))
    return scores_UI
