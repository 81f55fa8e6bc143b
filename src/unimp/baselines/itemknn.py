"""ItemKNN: items that the same people had, by cosine; with recency, the latest items speak loudest."""

from __future__ import annotations

from typing import ClassVar

import scipy.sparse as sp
from pydantic import Field

from unimp.baselines.baseline import Arrays, Baseline, TrainingData
from unimp.core.config import Config
from unimp.core.search_space import Choice, Real, SearchSpace
from unimp.data.histories import FloatArray, Histories
from unimp.features.item_graph import ItemGraph, capped, cosine_graph


class ItemKNNConfig(Config):
    neighbours: int | None = Field(default=None, ge=1)
    """Most similar items kept per item; empty keeps every item that shares a user."""
    shrink: float = Field(default=0.0, ge=0)
    """Added to the cosine's denominator: doubts pairs that rest on few users."""
    recency: float = Field(default=1.0, gt=0, le=1)
    """An event that k later ones follow weighs recency^k; 1 forgets the order."""

    search_space: ClassVar[SearchSpace] = {
        "neighbours": Choice((None, 20, 50, 100, 200, 500)),
        "shrink": Choice((0.0, 1.0, 3.0, 10.0, 30.0, 100.0)),
        "recency": Real(0.3, 1.0),
    }


class ItemKNN(Baseline[ItemKNNConfig]):
    """Item-based collaborative filtering (Sarwar et al., WWW 2001, sec. 3.1.1 and 3.2.1), on implicit data.

    The score of item j is the sum of cos(i, j) over the items i of the history, each weighed by
    recency^(events since then): the time decay of Ding & Li (CIKM 2005), counted in events.
    """

    config_class = ItemKNNConfig
    graph: ItemGraph

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        self.graph = cosine_graph(
            capped(data.train), data.num_items, neighbours=self.config.neighbours, shrink=self.config.shrink
        )

    def score_known(self, histories: Histories) -> FloatArray:
        return self.graph.score(histories, self.config.recency)

    def arrays(self) -> Arrays:
        weights = self.graph.weights
        return {"values": weights.data, "columns": weights.indices, "row_starts": weights.indptr}

    def restore(self, arrays: Arrays) -> None:
        parts = (arrays["values"], arrays["columns"], arrays["row_starts"])
        self.graph = ItemGraph(sp.csr_matrix(parts, shape=(self.num_items, self.num_items)))
