"""EASE: the best linear item–item model with a zero diagonal, in closed form."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from unimp.baselines.baseline import Arrays, Baseline, TrainingData
from unimp.core.config import Config
from unimp.core.search_space import Real, SearchSpace
from unimp.data.histories import FloatArray, Histories
from unimp.features.item_graph import ItemGraph, capped, ease_graph


class EASEConfig(Config):
    l2: float = Field(default=250.0, gt=0)
    """λ of the ridge penalty: the fewer events an item has, the less of it is wanted."""
    recency: float = Field(default=1.0, gt=0, le=1)
    """An event that k later ones follow weighs recency^k when scoring; 1 is the paper's."""

    search_space: ClassVar[SearchSpace] = {
        "l2": Real(1.0, 5000.0, log=True),
        "recency": Real(0.3, 1.0),
    }


class EASE(Baseline[EASEConfig]):
    """Embarrassingly shallow autoencoder (Steck, WWW 2019, eq. 8): scores X·B with B = I − P / diag(P)."""

    config_class = EASEConfig
    graph: ItemGraph

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        self.graph = ease_graph(capped(data.train), data.num_items, l2=self.config.l2)

    def score_known(self, histories: Histories) -> FloatArray:
        return self.graph.score(histories, self.config.recency)

    def arrays(self) -> Arrays:
        return {"weights": self.graph.weights}

    def restore(self, arrays: Arrays) -> None:
        self.graph = ItemGraph(arrays["weights"])
