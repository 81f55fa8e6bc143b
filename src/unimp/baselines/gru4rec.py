"""GRU4Rec: a recurrent network over the history, trained to rank each next item above sampled ones."""

# B users, T events, D width, I items, N positions, K shared negatives

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import TrainingData
from unimp.baselines.shared.causal import CausalBaseline, CausalConfig, CausalNetwork
from unimp.baselines.shared.transformer import draw_small
from unimp.core.cross_entropy import full_cross_entropy
from unimp.core.search_space import Choice, Real, SearchSpace


class GRU4RecConfig(CausalConfig):
    width: int = Field(default=64, ge=1)
    """Size of item vectors and of the hidden state."""
    layers: int = Field(default=1, ge=1)
    """GRU layers; one was best in the paper."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """On the item vectors that are read."""
    state_dropout: float = Field(default=0.0, ge=0, lt=1)
    """On the states."""
    loss: Literal["bpr-max", "cross-entropy"] = "bpr-max"
    """`bpr-max` is the 2018 paper's; `cross-entropy` is the softmax over the whole catalogue."""
    negatives: int = Field(default=2048, ge=1)
    """Negatives that the positions of a batch share, beside each other's targets."""
    popularity_power: float = Field(default=0.75, ge=0, le=1)
    """Negatives are drawn with probability ∝ events^α; 0 is uniform, 1 is by popularity."""
    lr: float = Field(default=5e-3, gt=0)
    """Learning rate of AdamW, constant."""
    score_penalty: float = Field(default=1.0, ge=0)
    """λ of the score regularisation in BPR-max."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 1e-2, log=True),
        "dropout": Real(0.0, 0.6),
        "score_penalty": Real(0.01, 10.0, log=True),
        "popularity_power": Real(0.0, 1.0),
        "width": Choice((32, 64, 128)),
    }


class GRU4RecNetwork(CausalNetwork):
    """Item vectors through a GRU; the item table is read at both ends ("constrained embedding")."""

    drawing: Tensor
    """[I] probability of each item to be drawn as a negative."""

    def __init__(self, config: GRU4RecConfig, num_items: int) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items, config.width)
        self.gru = nn.GRU(config.width, config.width, config.layers, batch_first=True)
        self.drop, self.drop_states = nn.Dropout(config.dropout), nn.Dropout(config.state_dropout)
        draw_small(self)
        nn.init.xavier_normal_(self.items.weight)
        # States lie within (-1, 1): without a layer that may enlarge them, scores are long in growing.
        self.output = nn.Linear(config.width, config.width)
        self.register_buffer("drawing", torch.ones(num_items), persistent=False)

    def forward(self, rows_BT: Tensor) -> Tensor:
        """[B, T, D]; a step reads what came before, so padding on the right moves nothing."""
        states_BTD, _ = self.gru(self.drop(self.items(rows_BT)))
        hidden: Tensor = self.output(self.drop_states(states_BTD))
        return hidden


class GRU4Rec(CausalBaseline[GRU4RecConfig]):
    """Session-based recommendation with recurrent networks (Hidasi et al., ICLR 2016) and BPR-max.

    A feed-forward layer stands between state and scores (2016, fig. 1). The loss, its score regularisation
    and the additional samples are those of Hidasi & Karatzoglou (CIKM 2018). Deviations: a whole history
    stands in for a session, and all of it is unrolled at once instead of in session-parallel steps; hence the
    negatives shared by a batch are the additional samples and the targets of its other positions, of all
    steps. Items have no output bias, scores no final activation, and AdamW replaces Adagrad.
    """

    config_class = GRU4RecConfig
    module: GRU4RecNetwork

    def build(self, num_items: int) -> GRU4RecNetwork:
        return GRU4RecNetwork(self.config, num_items)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        self.module.drawing = torch.from_numpy(self.popularity).to(self.config.device).clamp(min=1e-3)
        self.module.drawing.pow_(self.config.popularity_power)
        yield from super().losses(data, random)

    def position_loss(self, hidden_ND: Tensor, targets_N: Tensor) -> Tensor:
        if self.config.loss == "cross-entropy":
            return full_cross_entropy(hidden_ND, self.module.items.weight, targets_N)
        drawn_K = torch.multinomial(self.module.drawing, self.config.negatives, replacement=True)
        candidates_C = torch.cat([targets_N, drawn_K])
        scores_NC = hidden_ND @ self.module.items(candidates_C).T
        same_NC = candidates_C == targets_N[:, None]  # the target is no negative of its own
        positive_N = scores_NC.diagonal()
        return bpr_max(positive_N, scores_NC, same_NC, self.config.score_penalty)


def bpr_max(positive_N: Tensor, negative_NC: Tensor, left_out_NC: Tensor, penalty: float) -> Tensor:
    """Mean of −log Σ_j s_j σ(r_i − r_j) + λ Σ_j s_j r_j², s the softmax of the negatives' scores.

    The paper's code keeps the logarithm from −∞ in the same way.
    """
    weights_NC = negative_NC.masked_fill(left_out_NC, -torch.inf).softmax(dim=1)
    won_N = (weights_NC * torch.sigmoid(positive_N[:, None] - negative_NC)).sum(dim=1)
    penalty_N = (weights_NC * negative_NC.square()).sum(dim=1)
    return (penalty * penalty_N - (won_N + 1e-24).log()).mean()
