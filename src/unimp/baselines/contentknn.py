"""Content neighbours: items alike in words or pictures to those of the history; the log is not read."""

# I items, F features

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from unimp.baselines.baseline import Arrays, Baseline, TrainingData
from unimp.core.config import Config
from unimp.core.search_space import Choice, Real, SearchSpace
from unimp.data.histories import FloatArray, Histories


class ContentKNNConfig(Config):
    content: Literal["text", "image", "both"] = "text"
    """What is compared."""
    image_share: float = Field(default=0.5, ge=0, le=1)
    """With `both`: the pictures' share of a likeness."""
    recency: float = Field(default=0.8, gt=0, le=1)
    """An event that k later ones follow weighs recency^k."""
    sharpness: float = Field(default=2.0, gt=0)
    """A likeness enters as its positive part to this power: the higher, the more the nearest items count."""

    search_space: ClassVar[SearchSpace] = {
        "recency": Real(0.1, 1.0),
        "sharpness": Choice((1.0, 2.0, 4.0, 8.0, 16.0)),
        "image_share": Real(0.0, 1.0),
    }


class ContentKNN(Baseline[ContentKNNConfig]):
    """Σ over the history of recency^age · max(cos, 0)^sharpness, the cosine of the items' frozen features.

    Features are centred on the items that have any, so that what all share counts for nothing; an item
    without content is like none. Nothing is learnt, so an item without any event is ranked like all others.
    """

    config_class = ContentKNNConfig
    likeness: FloatArray
    """[I, I] of `sharpness` and content as set, zero on the diagonal."""

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        config = self.config
        parts = {"text": 1.0 - config.image_share, "image": config.image_share}
        if config.content != "both":
            parts = {config.content: 1.0}
        total = np.zeros((data.num_items, data.num_items), dtype=np.float32)
        for modality, share in parts.items():
            unit_IF = directions(data.content(modality, "contentknn"))  # type: ignore[arg-type]  # of `parts`
            total += np.float32(share) * (unit_IF @ unit_IF.T)
        np.fill_diagonal(total, 0.0)
        self.likeness = np.maximum(total, 0.0) ** np.float32(config.sharpness)

    def score_known(self, histories: Histories) -> FloatArray:
        scores = np.zeros((len(histories), self.num_items), dtype=np.float32)
        for user in range(len(histories)):
            rows = histories.items_of(user)
            weights = self.config.recency ** np.arange(len(rows) - 1, -1, -1, dtype=np.float32)
            scores[user] = weights @ self.likeness[rows]
        return scores

    def arrays(self) -> Arrays:
        return {"likeness": self.likeness}

    def restore(self, arrays: Arrays) -> None:
        self.likeness = arrays["likeness"]


def directions(features_IF: FloatArray) -> FloatArray:
    """Rows of length 1 less the mean of the items that have content; zero rows stay zero."""
    present = np.abs(features_IF).sum(axis=1) > 0
    mean_F = features_IF[present].mean(axis=0) if present.any() else np.float32(0)
    shifted_IF = np.where(present[:, None], features_IF - mean_F, 0.0)
    lengths_I = np.linalg.norm(shifted_IF, axis=1, keepdims=True)
    unit_IF: FloatArray = (shifted_IF / np.maximum(lengths_I, 1e-9)).astype(np.float32)
    return unit_IF
