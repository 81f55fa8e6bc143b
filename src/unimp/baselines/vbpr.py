"""VBPR: matrix factorisation with a second user vector that reads the picture."""

# U users, I items, N pairs of a batch, F picture features, D width, E visual width

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import Modality, TrainingData
from unimp.baselines.mf import Factors
from unimp.baselines.shared.foldin import FoldInBaseline, Learnt, fold_in_scale
from unimp.baselines.shared.neural import NeuralConfig
from unimp.baselines.shared.pairs import Triples, bpr_loss, squared_norm
from unimp.core.search_space import Choice, Real, SearchSpace
from unimp.data.histories import FloatArray


class VBPRConfig(NeuralConfig):
    width: int = Field(default=64, ge=1)
    """Size of the vectors of users and items (γ), as MF's here; the paper's 20 are half γ and half θ."""
    visual_width: int = Field(default=32, ge=1)
    """Size of the visual vectors of users (θ), to which the features are projected."""
    content: Modality = "image"
    """What stands for the picture; `text` lets the method run on a catalogue without pictures."""
    l2: float = Field(default=0.02, ge=0)
    """λ_Θ on user and item vectors and on the items' biases of a triple."""
    visual_l2: float = Field(default=0.1, ge=0)
    """λ_E on E and β'. The paper's is 0, with 4,096 features; here E would learn the training pairs by heart:
    on hm's validation NDCG@5 is .038 with 0, .056 with .01 and .057 with .1."""
    lr: float = Field(default=5e-3, gt=0)
    """Learning rate of AdamW, constant."""
    batch_events: int = Field(default=2048, ge=1)
    """Pairs in a batch, each with one negative."""
    validate_every: int = Field(default=5, ge=1)
    """Epochs from one validation to the next."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(5e-4, 2e-2, log=True),
        "l2": Real(1e-4, 0.2, log=True),
        "visual_l2": Choice((0.0, 1e-3, 1e-2, 0.1, 1.0)),
        "visual_width": Choice((16, 32, 64)),
        "width": Choice((32, 64, 128)),
    }


def centred(features: FloatArray) -> Tensor:
    """[I, F] less the mean of the items that have any, with rows of length 1 in the root mean square.

    Items without content stay at zero, which is then the mean. A shared offset would change no difference
    of two items, and so no BPR loss; the scale makes one learning rate suit any encoder.
    """
    rows = torch.from_numpy(features.astype(np.float32))
    present = rows.abs().sum(1, keepdim=True) > 0
    shifted = (rows - rows.sum(0) / present.sum().clamp(min=1)) * present
    mean_square = shifted.square().sum() / present.sum().clamp(min=1)
    return shifted * mean_square.clamp(min=1e-12).rsqrt()


class VisualFactors(Factors):
    """γ, θ, E, the items' bias β and the visual bias β'; the features are read, not learnt."""

    def __init__(self, num_users: int, features_IF: Tensor, width: int, visual_width: int) -> None:
        num_items, num_features = features_IF.shape
        super().__init__(num_users, num_items, width)
        self.visual_users = nn.Embedding(num_users, visual_width)
        self.project = nn.Linear(num_features, visual_width, bias=False)
        self.bias = nn.Embedding(num_items, 1)
        self.visual_bias = nn.Linear(num_features, 1, bias=False)
        nn.init.normal_(self.visual_users.weight, std=0.1)
        nn.init.normal_(self.project.weight, std=0.1)
        nn.init.zeros_(self.bias.weight)
        nn.init.zeros_(self.visual_bias.weight)
        self.register_buffer("features", features_IF, persistent=False)

    features: Tensor

    def score(self, users_N: Tensor, items_N: Tensor) -> Tensor:
        """[N] β_i + γ_u · γ_i + θ_u · E f_i + β' · f_i (eq. 4, without what is the user's alone)."""
        features_NF = self.features[items_N]
        match_N = (self.users(users_N) * self.items(items_N)).sum(1)
        visual_N = (self.visual_users(users_N) * self.project(features_NF)).sum(1)
        return self.bias(items_N)[:, 0] + match_N + visual_N + self.visual_bias(features_NF)[:, 0]

    def prior(self, batch: Triples, l2: float, visual_l2: float) -> Tensor:
        """λ_Θ and λ_E."""
        negatives = batch.negatives[:, 0]
        ids = [self.users(batch.users), self.visual_users(batch.users)]
        ids += [table(rows) for rows in (batch.positives, negatives) for table in (self.items, self.bias)]
        visual = self.project.weight.square().sum() + self.visual_bias.weight.square().sum()
        return l2 * squared_norm(*ids) + visual_l2 * visual / 2


class VBPR(FoldInBaseline[VBPRConfig]):
    """Visual Bayesian personalised ranking (He & McAuley, AAAI 2016, eq. 4, BPR as in eq. 6).

    x̂_ui = α + β_u + β_i + γ_u · γ_i + θ_u · (E f_i) + β' · f_i; α and β_u rank nothing and are left out.
    Deviations: f is the pooled output of the benchmark's own picture encoder, centred and scaled, where the
    paper reads 4,096 features of an ImageNet network; Adam instead of plain SGD.

    Scoring folds the history in: γ_u and θ_u are |H|^-½ Σ γ_i and |H|^-½ Σ E f_i, each scaled to the trained
    ones (see `fold_in_scale`).
    """

    config_class = VBPRConfig
    module: VisualFactors
    content: Tensor

    def prepare(self, data: TrainingData) -> None:
        self.content = centred(data.content(self.config.content, type(self).__name__))

    def build(self, num_items: int) -> VisualFactors:
        config = self.config
        return VisualFactors(self.pairs.num_users, self.content, config.width, config.visual_width)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        for batch in self.pairs.epoch(self.config.batch_events, random, device=self.config.device):
            yield self.loss(batch)

    def loss(self, batch: Triples) -> Tensor:
        module, config = self.module, self.config
        positive_N = module.score(batch.users, batch.positives)
        negative_N = module.score(batch.users, batch.negatives[:, 0])
        return bpr_loss(positive_N, negative_N) + module.prior(batch, config.l2, config.visual_l2)

    def summary(self) -> Learnt:
        module = self.module
        items_ID, visual_IE = module.items.weight, module.project(module.features)
        scale = fold_in_scale(self.pairs, module.users.weight, items_ID)
        visual_scale = fold_in_scale(self.pairs, module.visual_users.weight, visual_IE)
        return {
            "readout": torch.cat([scale * items_ID, visual_scale * visual_IE], dim=1),
            "items": torch.cat([items_ID, visual_IE], dim=1),
            "bias": module.bias.weight[:, 0] + module.visual_bias(module.features)[:, 0],
        }
