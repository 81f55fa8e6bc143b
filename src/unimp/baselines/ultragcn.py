"""UltraGCN: the limit of infinitely many graph convolutions, as a loss instead of messages."""

# U users, I items, N pairs of a batch, K negatives, S neighbours, D width

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unimp.baselines.baseline import TrainingData
from unimp.baselines.mf import Factors
from unimp.baselines.shared.foldin import FoldInBaseline, Learnt
from unimp.baselines.shared.neural import NeuralConfig
from unimp.baselines.shared.pairs import Pairs, Triples, squared_norm
from unimp.core.search_space import Choice, Real, SearchSpace
from unimp.features.item_graph import keep_largest


class UltraGCNConfig(NeuralConfig):
    width: int = Field(default=64, ge=1)
    """Size of user and item vectors; the paper's is 64."""
    negatives: int = Field(default=200, ge=1)
    """Negatives per pair. The paper's settings lie between 200 and 1,500; the weighted mean of fewer is the
    same loss with more noise, and many times quicker."""
    negative_weight: float = Field(default=10.0, gt=0)
    """Weight of the mean over a pair's negatives, against 1 for the positive. Large weights start by pushing
    every item away and need many more epochs."""
    constraint: float = Field(default=1.0, ge=0)
    """λ, weight of the constraint loss L_C."""
    item_graph: float = Field(default=1.0, ge=0)
    """γ, weight of the item–item loss L_I."""
    neighbours: int = Field(default=10, ge=1)
    """K, most similar items per item; the paper's is 10."""
    l2: float = Field(default=1e-3, ge=0)
    """Weight of half the squared norm of a pair's user and positive item."""
    lr: float = Field(default=1e-2, gt=0)
    """Learning rate of AdamW, constant."""
    validate_every: int = Field(default=2, ge=1)
    """Epochs from one validation to the next."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(1e-3, 3e-2, log=True),
        "l2": Real(1e-5, 0.1, log=True),
        "negative_weight": Real(1.0, 300.0, log=True),
        "constraint": Real(0.01, 10.0, log=True),
        "negatives": Choice((20, 200, 800)),
    }


def degree_factors(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """β_ui = user_factor[u] · item_factor[i] = (1 / d_u) √((d_u + 1) / (d_i + 1)) (eq. 6)."""
    degree_U = np.bincount(pairs.user_rows, minlength=pairs.num_users).astype(np.float32)
    degree_I = np.bincount(pairs.item_rows, minlength=pairs.num_items).astype(np.float32)
    return np.sqrt(degree_U + 1) / np.maximum(degree_U, 1), 1 / np.sqrt(degree_I + 1)


def item_neighbours(pairs: Pairs, count: int) -> tuple[np.ndarray, np.ndarray]:
    """[I, S] rows of the items with the largest ω_ij, and those ω; 0 where an item has fewer neighbours.

    ω_ij = G_ij / (g_i − G_ii) · √(g_i / g_j) with G = AᵀA and g its row sums (eq. 10); j ≠ i.
    """
    ones = np.ones(len(pairs), dtype=np.float32)
    users: Any = sp.csr_matrix((ones, (pairs.user_rows, pairs.item_rows)), (pairs.num_users, pairs.num_items))
    together = (users.T @ users).tocsr()
    sums_I = np.maximum(np.asarray(together.sum(axis=1)).ravel(), 1.0)
    left_I = np.sqrt(sums_I) / np.maximum(sums_I - together.diagonal(), 1.0)
    together.setdiag(0.0)
    together.eliminate_zeros()
    best = keep_largest((sp.diags(left_I) @ together @ sp.diags(sums_I**-0.5)).tocsr(), count)
    owners = np.repeat(np.arange(pairs.num_items), np.diff(best.indptr))
    places = np.arange(best.nnz) - best.indptr[owners]
    rows = np.zeros((pairs.num_items, count), dtype=np.int64)
    weights = np.zeros((pairs.num_items, count), dtype=np.float32)
    rows[owners, places], weights[owners, places] = best.indices, best.data
    return rows, weights


class UltraGCN(FoldInBaseline[UltraGCNConfig]):
    """UltraGCN (Mao et al., CIKM 2021): L_O + λ L_C + γ L_I (eq. 13), a plain product as the score.

    L_O is binary cross-entropy over positives and sampled negatives (eq. 8), L_C the same weighed by β
    (eq. 7), L_I pulls a user to the neighbours of her items, −Σ ω_ij ln σ(e_u · e_j) (eq. 12). As in the
    authors' code, negatives enter as negative_weight times their mean.

    Scoring folds the history in by the paper's own fixed point, e_u = Σ_i β_ui e_i (eq. 5):
    readout_i = e_i / √(d_i + 1), the user's own factor changes no ranking.
    """

    config_class = UltraGCNConfig
    module: Factors

    def prepare(self, data: TrainingData) -> None:
        device = self.config.device
        tables = (*degree_factors(self.pairs), *item_neighbours(self.pairs, self.config.neighbours))
        moved = [torch.from_numpy(table).to(device) for table in tables]
        self.factor_U, self.factor_I, self.neighbours_IS, self.omega_IS = moved

    def build(self, num_items: int) -> Factors:
        return Factors(self.pairs.num_users, num_items, self.config.width, std=0.01)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        config = self.config
        for batch in self.pairs.epoch(
            config.batch_events, random, negatives=config.negatives, device=config.device
        ):
            yield self.loss(batch)

    def loss(self, batch: Triples) -> Tensor:
        config, items = self.config, self.module.items
        user_ND, positive_ND = self.module.users(batch.users), items(batch.positives)
        negative_NK = torch.einsum("nd,nkd->nk", user_ND, items(batch.negatives))
        near_NS = torch.einsum("nd,nsd->ns", user_ND, items(self.neighbours_IS[batch.positives]))
        own_N = self.factor_U[batch.users]
        weight_N = 1 + config.constraint * own_N * self.factor_I[batch.positives]
        weight_NK = 1 + config.constraint * own_N[:, None] * self.factor_I[batch.negatives]
        fit_N = -weight_N * F.logsigmoid((user_ND * positive_ND).sum(1))
        fit_N = fit_N - config.negative_weight * (weight_NK * F.logsigmoid(-negative_NK)).mean(1)
        graph_N = -(self.omega_IS[batch.positives] * F.logsigmoid(near_NS)).sum(1)
        loss: Tensor = (fit_N + config.item_graph * graph_N).mean()
        return loss + config.l2 * squared_norm(user_ND, positive_ND)

    def summary(self) -> Learnt:
        items_ID = self.module.items.weight
        return {"readout": items_ID * self.factor_I[:, None], "items": items_ID}
