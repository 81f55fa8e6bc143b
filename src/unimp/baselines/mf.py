"""MF: matrix factorisation, learnt by Bayesian personalised ranking."""

# U users, I items, N pairs of a batch, D width

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import TrainingData
from unimp.baselines.shared.foldin import FoldInBaseline, Learnt, fold_in_scale
from unimp.baselines.shared.neural import NeuralConfig
from unimp.baselines.shared.pairs import Triples, bpr_loss, squared_norm
from unimp.core.search_space import Choice, Real, SearchSpace


class MFConfig(NeuralConfig):
    width: int = Field(default=64, ge=1)
    """Size of user and item vectors."""
    init_std: float = Field(default=0.01, gt=0)
    """Standard deviation of the first vectors: after 40 epochs beauty's validation NDCG@5 is .027 with .01,
    .020 with .1; hm's is .058 in the end with both."""
    l2: float = Field(default=0.02, ge=0)
    """λ of the prior: half the squared norm of a triple's three vectors."""
    lr: float = Field(default=5e-3, gt=0)
    """Learning rate of AdamW, constant."""
    batch_events: int = Field(default=2048, ge=1)
    """Pairs in a batch, each with one negative."""
    validate_every: int = Field(default=5, ge=1)
    """Epochs from one validation to the next."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(5e-4, 2e-2, log=True),
        "l2": Real(1e-4, 0.2, log=True),
        "width": Choice((32, 64, 128)),
        "init_std": Choice((0.01, 0.1)),
    }


class Factors(nn.Module):
    """A vector per user and per item."""

    def __init__(self, num_users: int, num_items: int, width: int, std: float = 0.1) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(num_users, width), nn.Embedding(num_items, width)
        nn.init.normal_(self.users.weight, std=std)
        nn.init.normal_(self.items.weight, std=std)


class MF(FoldInBaseline[MFConfig]):
    """BPR-MF (Rendle et al., UAI 2009): x̂_ui = ⟨w_u, h_i⟩ (sec. 4.3.1), −ln σ(x̂_ui − x̂_uj) + λ‖Θ‖² (4.1).

    Deviations: every pair comes once per epoch with a fresh negative, where LearnBPR (fig. 4) draws triples
    with replacement; Adam instead of plain SGD. Scoring folds the history in: w_u = c · |H|^-½ Σ h_i.
    """

    config_class = MFConfig
    module: Factors

    def build(self, num_items: int) -> Factors:
        return Factors(self.pairs.num_users, num_items, self.config.width, self.config.init_std)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        for batch in self.pairs.epoch(self.config.batch_events, random, device=self.config.device):
            yield self.loss(batch)

    def loss(self, batch: Triples) -> Tensor:
        user_ND = self.module.users(batch.users)
        positive_ND = self.module.items(batch.positives)
        negative_ND = self.module.items(batch.negatives[:, 0])
        fit = bpr_loss((user_ND * positive_ND).sum(1), (user_ND * negative_ND).sum(1))
        return fit + self.config.l2 * squared_norm(user_ND, positive_ND, negative_ND)

    def summary(self) -> Learnt:
        items_ID = self.module.items.weight
        scale = fold_in_scale(self.pairs, self.module.users.weight, items_ID)
        return {"readout": scale * items_ID, "items": items_ID}
