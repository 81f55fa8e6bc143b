"""MACR: popularity is modelled as a branch of its own, and taken out when ranking."""

# U users, I items, N pairs of a batch, D width

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import TrainingData
from unimp.baselines.mf import Factors
from unimp.baselines.shared.foldin import FoldInBaseline, Learnt, fold_in_scale
from unimp.baselines.shared.neural import NeuralBaseline, NeuralConfig
from unimp.baselines.shared.pairs import Triples, squared_norm
from unimp.core.search_space import Choice, Real, SearchSpace
from unimp.data.histories import Histories


class MACRConfig(NeuralConfig):
    width: int = Field(default=64, ge=1)
    """Size of user and item vectors; the paper's is 64."""
    init_std: float = Field(default=0.1, gt=0)
    """Standard deviation of the first vectors."""
    item_branch: float = Field(default=1e-3, ge=0)
    """α, weight of the item branch's own loss; the paper's is 1e-3."""
    user_branch: float = Field(default=1e-3, ge=0)
    """β, weight of the user branch's own loss; the paper's is 1e-3."""
    reference: float | None = None
    """c, the match that a counterfactual user has with every item. Empty: the best of `references` on
    validation, as in the paper, which tunes it per data set."""
    references: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0)
    """Values of c that are tried."""
    l2: float = Field(default=0.02, ge=0)
    """Weight of half the squared norm of a triple's three vectors."""
    lr: float = Field(default=5e-3, gt=0)
    """Learning rate of AdamW, constant."""
    batch_events: int = Field(default=2048, ge=1)
    """Pairs in a batch, each with one negative."""
    validate_every: int = Field(default=5, ge=1)
    """Epochs from one validation to the next."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(5e-4, 2e-2, log=True),
        "l2": Real(1e-4, 0.2, log=True),
        "item_branch": Real(1e-4, 0.1, log=True),
        "user_branch": Real(1e-4, 0.1, log=True),
        "init_std": Choice((0.01, 0.03, 0.1)),
    }


class ThreeBranches(Factors):
    """Matrix factorisation, and a linear read-out of each side alone: σ(item) and σ(user)."""

    def __init__(self, num_users: int, num_items: int, width: int, std: float = 0.1) -> None:
        super().__init__(num_users, num_items, width, std)
        self.read_item, self.read_user = nn.Linear(width, 1), nn.Linear(width, 1)

    def branches(self, user_ND: Tensor, item_ND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[N] match ŷ_k, and the logits ŷ_i and ŷ_u of the branches (sec. 4.1)."""
        match_N = (user_ND * item_ND).sum(1)
        return match_N, self.read_item(item_ND).squeeze(1), self.read_user(user_ND).squeeze(1)


class MACR(FoldInBaseline[MACRConfig]):
    """Model-agnostic counterfactual reasoning (Wei et al., KDD 2021) upon matrix factorisation.

    Training: ŷ_ui = ŷ_k · σ(ŷ_i) · σ(ŷ_u) (eq. 6), each of the three under binary cross-entropy,
    L = L_O + α L_I + β L_U (eq. 7, 8), one sampled negative per pair.
    Ranking: ŷ_k σ(ŷ_i) σ(ŷ_u) − c σ(ŷ_i) σ(ŷ_u) (eq. 9): total effect less the direct one of item and user.

    The paper tests on a debiased sample; on a log as it is, popularity helps, and c is often small. While
    training, the epoch is chosen at `reference`, or at c = 0. Scoring folds the history in: the user's vector
    is c' · |H|^-½ Σ items (see `fold_in_scale`), and the user's branch reads that vector.
    """

    config_class = MACRConfig
    module: ThreeBranches

    def build(self, num_items: int) -> ThreeBranches:
        config = self.config
        return ThreeBranches(self.pairs.num_users, num_items, config.width, config.init_std)

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        super().learn(data, seed=seed, show_progress=show_progress)
        if self.config.reference is None and len(data.valid):
            self.choose_reference(data)

    def chosen_config(self) -> MACRConfig:
        return super().chosen_config().model_copy(update={"reference": float(self.learnt["reference"])})

    def choose_reference(self, data: TrainingData) -> None:
        """The c with the best validation NDCG@5; the smallest of equals."""
        quality = {}
        for value in sorted(self.config.references):
            self.learnt["reference"] = torch.tensor([value], device=self.config.device)
            quality[value] = NeuralBaseline.validate(self, data)  # the weights stay: nothing to summarise
        best = max(quality, key=lambda value: quality[value])
        self.learnt["reference"] = torch.tensor([best], device=self.config.device)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        for batch in self.pairs.epoch(self.config.batch_events, random, device=self.config.device):
            yield self.loss(batch)

    def loss(self, batch: Triples) -> Tensor:
        user_ND = self.module.users(batch.users)
        sides = [self.module.items(rows) for rows in (batch.positives, batch.negatives[:, 0])]
        total = self.config.l2 * squared_norm(user_ND, *sides)
        for item_ND, liked in zip(sides, (1.0, 0.0), strict=True):
            match_N, item_N, user_N = self.module.branches(user_ND, item_ND)
            target_N = torch.full_like(match_N, liked)
            fused_N = match_N * torch.sigmoid(item_N) * torch.sigmoid(user_N)
            total = total + F.binary_cross_entropy_with_logits(fused_N, target_N)
            total = total + self.config.item_branch * F.binary_cross_entropy_with_logits(item_N, target_N)
            total = total + self.config.user_branch * F.binary_cross_entropy_with_logits(user_N, target_N)
        return total

    def summary(self) -> Learnt:
        items_ID = self.module.items.weight
        return {
            "readout": fold_in_scale(self.pairs, self.module.users.weight, items_ID) * items_ID,
            "items": items_ID,
            "item_gate": torch.sigmoid(self.module.read_item(items_ID)).squeeze(1),
            "user_weight": self.module.read_user.weight,
            "user_bias": self.module.read_user.bias,
            "reference": torch.tensor([self.config.reference or 0.0], device=items_ID.device),
        }

    def score_batch(self, histories: Histories) -> Tensor:
        learnt = self.learnt
        users_UD = self.fold_in(histories, learnt["readout"])
        user_gate_U1 = torch.sigmoid(users_UD @ learnt["user_weight"].T + learnt["user_bias"])
        match_UI = users_UD @ learnt["items"].T
        return (match_UI - learnt["reference"]) * learnt["item_gate"] * user_gate_U1
