"""Pop: everybody gets what most people had."""

from __future__ import annotations

import numpy as np

from unimp.baselines.baseline import Arrays, Baseline, TrainingData
from unimp.core.config import Config
from unimp.data.histories import FloatArray, Histories


class PopConfig(Config):
    """Nothing to set."""


class Pop(Baseline[PopConfig]):
    """Items by their number of training events, a user's repeats counted each time."""

    config_class = PopConfig

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        """The base class has already counted."""

    def score_known(self, histories: Histories) -> FloatArray:
        return np.broadcast_to(self.popularity, (len(histories), self.num_items))

    def arrays(self) -> Arrays:
        return {}

    def restore(self, arrays: Arrays) -> None:
        """Popularity is all there is."""
