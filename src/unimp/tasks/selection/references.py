"""Selection by popularity, and by likeness of content to the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.features.text import unit_rows
from unimp.model.inputs import ItemInputs
from unimp.tasks.rating.references import look_up


def content_of(items: ItemInputs) -> dict[str, FloatArray]:
    """[I, F] text and pooled pictures of the items, as the model is given them."""
    found: dict[str, FloatArray] = {}
    if "text" in items.content:
        found["text"] = items.content["text"].cpu().float().numpy()
    if items.visual_IVE is not None:
        pooled = items.visual_IVE.float().mean(dim=1).cpu().numpy()
        found["picture"] = pooled - pooled.mean(axis=0)
    return found


def best_places(scores: FloatArray, count: int) -> IntArray:
    """The places of the `count` highest scores, best first; equals in the order given."""
    return np.argsort(-scores, kind="stable")[:count].astype(np.int64)


@dataclass(frozen=True)
class PopularitySelector:
    """The candidates that most training events are about."""

    counts: FloatArray
    """[items]."""

    @classmethod
    def fit(cls, train: Histories) -> PopularitySelector:
        return cls(np.bincount(train.item_rows).astype(np.float32))

    def select(
        self, histories: Histories, candidates: Sequence[IntArray], counts: Sequence[int]
    ) -> list[IntArray]:
        """See `Selector`."""
        return [
            best_places(look_up(self.counts, rows), count)
            for rows, count in zip(candidates, counts, strict=True)
        ]


@dataclass(frozen=True)
class ContentSelector:
    """The candidates whose content is most like that of the history's items.

    The score is the mean cosine with them: the latest event counts 1, each one before it `recency` of the
    next. Without a history all score alike, and the order given stays.
    """

    content: FloatArray
    """[I, F] unit rows or zeros: text, or pooled pictures."""
    recency: float

    @classmethod
    def of(cls, content: FloatArray, recency: float = 0.9) -> ContentSelector:
        """content: [I, F] of any length of row."""
        return cls(unit_rows(content), recency)

    def select(
        self, histories: Histories, candidates: Sequence[IntArray], counts: Sequence[int]
    ) -> list[IntArray]:
        """See `Selector`."""
        profiles = self.profiles(histories)
        return [
            best_places(look_up(self.content, rows) @ profile, count)
            for profile, rows, count in zip(profiles, candidates, counts, strict=True)
        ]

    def profiles(self, histories: Histories) -> FloatArray:
        """[U, F] weighted mean content of each history; zeros for an empty one."""
        profiles = np.zeros((len(histories), self.content.shape[1]), dtype=np.float32)
        for user in range(len(histories)):
            met = look_up(self.content, histories.items_of(user))
            weights = self.recency ** np.arange(len(met))[::-1]
            profiles[user] = (weights @ met) / max(float(weights.sum()), 1e-9)
        return profiles
