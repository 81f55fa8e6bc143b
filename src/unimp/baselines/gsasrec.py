"""gSASRec: SASRec with many sampled negatives and a loss that undoes the overconfidence they bring."""

# N positions, G groups of S positions, I items, D width, K negatives

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.sasrec import SASRecNetwork, SASRecNetworkConfig
from unimp.baselines.shared.causal import CausalBaseline
from unimp.baselines.shared.transformer import check_heads
from unimp.core.search_space import Choice, Real, SearchSpace


class GSASRecConfig(SASRecNetworkConfig):
    negatives: int = Field(default=256, ge=1)
    """Negatives of a target, uniform over the catalogue; the paper's k."""
    share: int = Field(default=8, ge=1)
    """Neighbouring targets of a batch that use the same drawing of negatives; the paper's is 1."""
    calibration: float = Field(default=0.75, ge=0, le=1)
    """t: 0 is plain binary cross-entropy, 1 gives calibrated probabilities."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.1, 0.7),
        "negatives": Choice((64, 256, 512)),
        "calibration": Real(0.0, 1.0),
        "width": Choice((32, 64, 128)),
    }


class GSASRec(CausalBaseline[GSASRecConfig]):
    """Reduced overconfidence by negative sampling (Petrov & Macdonald, RecSys 2023): generalised binary
    cross-entropy, gBCE.

    As in the paper a negative may happen to be the target or another event of the user. Two deviations.
    `share` neighbouring targets, mostly of one history, use the same negatives, which is several times faster
    and the same loss on average. In the loss every score is shifted by `prior_log_odds`, which changes no
    ranking: without it the network first learns that most items are negatives, and hm's validation NDCG@5
    stays at popularity's .007 for twenty epochs. The network is `sasrec`'s; the full softmax on it is the
    method `sasrec`.
    """

    config_class = GSASRecConfig
    module: SASRecNetwork

    def build(self, num_items: int) -> SASRecNetwork:
        check_heads("gsasrec", self.config.width, self.config.heads)
        return SASRecNetwork(self.config, num_items)

    def position_loss(self, hidden_ND: Tensor, targets_N: Tensor) -> Tensor:
        config, num_items = self.config, self.module.items.num_embeddings
        found = sampled_scores(hidden_ND, targets_N, self.module.items, config.negatives, config.share)
        beta = gbce_power(config.negatives, num_items, config.calibration)
        shift = prior_log_odds(config.negatives, beta)
        return gbce(found.positive_N + shift, found.negative_NK + shift, beta)


@dataclass(frozen=True)
class SampledScores:
    """Scores of targets and of drawn negatives."""

    positive_N: Tensor
    negative_NK: Tensor
    drawn_NK: Tensor
    """Item rows of the negatives, any item at all."""


def sampled_scores(
    hidden_ND: Tensor, targets_N: Tensor, items: nn.Embedding, negatives: int, share: int
) -> SampledScores:
    """Of N positions; `share` neighbouring ones use the same drawing, uniform over the catalogue."""
    count = len(targets_N)
    groups = -(-count // share)
    drawn_GK = torch.randint(items.num_embeddings, (groups, negatives), device=hidden_ND.device)
    filled_ND = F.pad(hidden_ND, (0, 0, 0, groups * share - count))
    hidden_GSD = filled_ND.view(groups, share, -1)
    negative_GSK = hidden_GSD @ items(drawn_GK).transpose(1, 2)
    return SampledScores(
        (hidden_ND * items(targets_N)).sum(dim=1),
        negative_GSK.flatten(0, 1)[:count],
        drawn_GK.repeat_interleave(share, dim=0)[:count],
    )


def gbce_power(negatives: int, num_items: int, calibration: float) -> float:
    """β = α (t (1 − 1/α) + 1/α), with the sampling rate α = k / (|I| − 1), at most 1."""
    rate = min(1.0, negatives / max(num_items - 1, 1))
    return rate * (calibration * (1.0 - 1.0 / rate) + 1.0 / rate)


def prior_log_odds(negatives: int, beta: float) -> float:
    """log(β / K): the score at which gBCE is least when all items score alike."""
    return math.log(beta / negatives)


def gbce(positive_N: Tensor, negative_NK: Tensor, beta: float) -> Tensor:
    """Mean over positions of −(log σ(s⁺)^β + Σ log(1 − σ(s⁻))) / (K + 1), over K sampled negatives."""
    own_N = -beta * F.logsigmoid(positive_N)
    others_N = -F.logsigmoid(-negative_NK).sum(dim=1)
    return (own_N + others_N).mean() / (negative_NK.shape[1] + 1)
