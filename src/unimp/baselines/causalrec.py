"""CausalRec: VBPR whose pictures act in two ways, the direct one taken out when ranking."""

# U users, I items, N pairs of a batch, F picture features, D width, E visual width

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import TrainingData
from unimp.baselines.shared.foldin import FoldInBaseline, Learnt, fold_in_scale
from unimp.baselines.shared.pairs import Triples, bpr_loss, squared_norm
from unimp.baselines.vbpr import VBPRConfig, VisualFactors, centred
from unimp.core.search_space import Real, SearchSpace
from unimp.data.histories import Histories


class CausalRecConfig(VBPRConfig):
    effect: float = Field(default=1.0, ge=0)
    """Share of the direct visual effect that is taken out: 1 is the total indirect effect, 0 takes none."""
    visual_l2: float = Field(default=0.01, ge=0)
    """λ on E, β' and E_m. Without it E_m undoes what l2 does to γ: on hm's validation NDCG@5 is .010 with 0
    and .041 with .01."""

    search_space: ClassVar[SearchSpace] = {
        **{key: ends for key, ends in VBPRConfig.search_space.items() if key != "width"},
        "effect": Real(0.0, 1.0),
    }


class CausalFactors(VisualFactors):
    """VBPR's parts, and a second projection by which a picture changes what an item means."""

    def __init__(self, num_users: int, features_IF: Tensor, width: int, visual_width: int) -> None:
        super().__init__(num_users, features_IF, width, visual_width)
        self.mediate = nn.Linear(features_IF.shape[1], width, bias=False)
        nn.init.normal_(self.mediate.weight, std=0.1)

    def meaning(self, items_ND: Tensor, features_NF: Tensor) -> Tensor:
        """[N, D] γ_i + γ_i ∘ E_m f_i: what the user's γ is matched with."""
        mediated: Tensor = items_ND * (1.0 + self.mediate(features_NF))
        return mediated

    def effects(self, users_N: Tensor, items_N: Tensor) -> tuple[Tensor, Tensor]:
        """[N] M, the match with the item as its picture shows it, and N, what the picture does alone."""
        features_NF = self.features[items_N]
        meaning_ND = self.meaning(self.items(items_N), features_NF)
        match_N = self.bias(items_N)[:, 0] + (self.users(users_N) * meaning_ND).sum(1)
        visual_N = (self.visual_users(users_N) * self.project(features_NF)).sum(1)
        return match_N, visual_N + self.visual_bias(features_NF)[:, 0]


def fuse(match: Tensor, visual: Tensor) -> Tensor:
    """Y = σ(M + N) · σ(M) · σ(N)."""
    return torch.sigmoid(match + visual) * torch.sigmoid(match) * torch.sigmoid(visual)


class CausalRec(FoldInBaseline[CausalRecConfig]):
    """Causal inference for visual debiasing (Qiu et al., ACM MM 2021).

    M = β_i + γ_u · (γ_i + γ_i ∘ E_m f_i) is the match, in which the picture mediates;
    N = θ_u · E f_i + β' · f_i is the picture's direct effect; Y = σ(M + N) σ(M) σ(N).
    Training takes BPR over Y, over M and over N. Ranking takes the total indirect effect Y(M, N) − Y(M*, N),
    where M* is the match with the mean item: mean bias, mean γ and mean features (zero after centring).

    `effect` scales the second term, as a public implementation does (.8 there); 1 is the plain formula.
    Features and optimiser deviate as in VBPR. Scoring folds the history in: γ_u is
    c · |H|^-½ Σ (γ_i + γ_i ∘ E_m f_i) and θ_u is c' · |H|^-½ Σ E f_i (see `fold_in_scale`).
    """

    config_class = CausalRecConfig
    module: CausalFactors
    content: Tensor

    def prepare(self, data: TrainingData) -> None:
        self.content = centred(data.content(self.config.content, type(self).__name__))

    def build(self, num_items: int) -> CausalFactors:
        config = self.config
        return CausalFactors(self.pairs.num_users, self.content, config.width, config.visual_width)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        for batch in self.pairs.epoch(self.config.batch_events, random, device=self.config.device):
            yield self.loss(batch)

    def loss(self, batch: Triples) -> Tensor:
        module, config = self.module, self.config
        positive = module.effects(batch.users, batch.positives)
        negative = module.effects(batch.users, batch.negatives[:, 0])
        fit = bpr_loss(fuse(*positive), fuse(*negative))
        for liked_N, other_N in zip(positive, negative, strict=True):
            fit = fit + bpr_loss(liked_N, other_N)
        mediator = squared_norm(module.mediate.weight) * len(module.mediate.weight)
        return fit + module.prior(batch, config.l2, config.visual_l2) + config.visual_l2 * mediator

    def summary(self) -> Learnt:
        module = self.module
        meaning_ID = module.meaning(module.items.weight, module.features)
        visual_IE = module.project(module.features)
        return {
            "readout": fold_in_scale(self.pairs, module.users.weight, meaning_ID) * meaning_ID,
            "visual_readout": fold_in_scale(self.pairs, module.visual_users.weight, visual_IE) * visual_IE,
            "items": meaning_ID,
            "bias": module.bias.weight[:, 0],
            "visual_items": visual_IE,
            "visual_bias": module.visual_bias(module.features)[:, 0],
            "mean_item": module.items.weight.mean(0),
            "mean_bias": module.bias.weight.mean(0),
        }

    def score_batch(self, histories: Histories) -> Tensor:
        learnt = self.learnt
        users_UD = self.fold_in(histories, learnt["readout"])
        visual_users_UE = self.fold_in(histories, learnt["visual_readout"])
        match_UI = users_UD @ learnt["items"].T + learnt["bias"]
        visual_UI = visual_users_UE @ learnt["visual_items"].T + learnt["visual_bias"]
        usual_U1 = (users_UD @ learnt["mean_item"] + learnt["mean_bias"])[:, None]
        return fuse(match_UI, visual_UI) - self.config.effect * fuse(usual_U1, visual_UI)
