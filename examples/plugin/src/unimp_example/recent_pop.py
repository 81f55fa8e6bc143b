"""Popularity that fades: the latest events of the log count most."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from unimp.baselines import MethodEntry
from unimp.baselines.baseline import Arrays, Baseline, TrainingData
from unimp.core.config import Config
from unimp.data.histories import FloatArray, Histories


class RecentPopConfig(Config):
    """How fast popularity fades."""

    half_life: float = Field(10.0, gt=0)
    """An event counts half as much as one that its user had so many events later."""


class RecentPop(Baseline[RecentPopConfig]):
    """Items by the number of training events, each halved every `half_life` events before its user's last."""

    config_class = RecentPopConfig

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        lengths = data.train.lengths
        ends = np.repeat(data.train.offsets[1:], lengths)
        ages = ends - 1 - np.arange(data.train.num_events)
        weights = 0.5 ** (ages / self.config.half_life)
        counts = np.bincount(data.train.item_rows, weights=weights, minlength=self.num_items)
        self.counts: FloatArray = counts.astype(np.float32)

    def score_known(self, histories: Histories) -> FloatArray:
        return np.broadcast_to(self.counts, (len(histories), self.num_items))

    def arrays(self) -> Arrays:
        return {"counts": self.counts}

    def restore(self, arrays: Arrays) -> None:
        self.counts = arrays["counts"]


RECENT_POP = MethodEntry(
    "unimp_example.recent_pop:RecentPop", "RecentPop", "", seeded=False, test="tests/test_extensions.py"
)
