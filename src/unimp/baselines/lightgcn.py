"""LightGCN: graph convolution with nothing but neighbourhood averages."""

# U users, I items, N pairs of a batch, D width

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from unimp.baselines.baseline import TrainingData
from unimp.baselines.mf import Factors
from unimp.baselines.shared.bipartite import Bipartite, layer_mean
from unimp.baselines.shared.foldin import FoldInBaseline, Learnt
from unimp.baselines.shared.neural import NeuralConfig
from unimp.baselines.shared.pairs import Triples, bpr_loss, squared_norm
from unimp.core.search_space import Choice, Real, SearchSpace, Whole


class LightGCNConfig(NeuralConfig):
    width: int = Field(default=64, ge=1)
    """Size of user and item vectors."""
    layers: int = Field(default=3, ge=1)
    """K, rounds of propagation; the paper's is 3."""
    l2: float = Field(default=1e-3, ge=0)
    """λ: half the squared norm of a triple's layer-0 vectors (the paper's 1e-4 suits larger data)."""
    lr: float = Field(default=1e-2, gt=0)
    """Learning rate of AdamW, constant."""
    batch_events: int = Field(default=8192, ge=1)
    """Pairs in a batch, each with one negative. Every batch propagates over the whole graph, so few large
    batches are quicker than many small ones."""
    validate_every: int = Field(default=5, ge=1)
    """Epochs from one validation to the next."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(1e-3, 3e-2, log=True),
        "l2": Real(1e-5, 0.1, log=True),
        "layers": Whole(1, 4),
        "width": Choice((32, 64, 128)),
    }


class LightGCN(FoldInBaseline[LightGCNConfig]):
    """LightGCN (He et al., SIGIR 2020).

    e_u^(k+1) = Σ_i e_i^(k) / √(|N_u||N_i|) and so for items (eq. 3), the mean of the layers (eq. 4,
    α_k = 1/(K+1)), the product of both sides (eq. 5), BPR with L2 on layer 0 (eq. 15).

    Scoring propagates once more with the history as the user's edges: layers 1 to K of the user are
    |H|^-½ Σ_i |N_i|^-½ e_i^(k-1). For a training user's own history that is the paper's vector but for
    e_u^(0), which nobody else can have and which is left out: readout_i = Σ_{k<K} e_i^(k) / √|N_i| / (K+1).
    """

    config_class = LightGCNConfig
    module: Factors
    graph: Bipartite

    def prepare(self, data: TrainingData) -> None:
        self.graph = Bipartite.of_pairs(self.pairs, device=self.config.device)

    def build(self, num_items: int) -> Factors:
        return Factors(self.pairs.num_users, num_items, self.config.width)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        for batch in self.pairs.epoch(self.config.batch_events, random, device=self.config.device):
            yield self.loss(batch)

    def loss(self, batch: Triples) -> Tensor:
        users, items = self.module.users.weight, self.module.items.weight
        layers = self.graph.layers(users, items, self.config.layers)
        final_UD, final_ID = (layer_mean([layer[side] for layer in layers]) for side in (0, 1))
        negatives = batch.negatives[:, 0]
        user_ND = final_UD[batch.users]
        scores = [(user_ND * final_ID[rows]).sum(1) for rows in (batch.positives, negatives)]
        start = squared_norm(users[batch.users], items[batch.positives], items[negatives])
        return bpr_loss(*scores) + self.config.l2 * start

    def summary(self) -> Learnt:
        layers = self.graph.layers(self.module.users.weight, self.module.items.weight, self.config.layers)
        items = [layer[1] for layer in layers]
        popularity_I = torch.from_numpy(np.bincount(self.pairs.item_rows, minlength=self.num_items))
        scale_I = popularity_I.clamp(min=1).rsqrt().to(items[0].device) / len(items)
        return {"readout": sum(items[:-1]) * scale_I[:, None], "items": layer_mean(items)}
