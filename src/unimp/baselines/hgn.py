"""HGN: gates choose which features of which recent items matter; plain item–item products do the rest."""

# B users, T events, L window, D width, I items, F future targets

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.shared.causal import CausalBaseline, CausalConfig, CausalNetwork
from unimp.core.cross_entropy import full_cross_entropy
from unimp.core.search_space import Choice, Real, SearchSpace, Whole


class HGNConfig(CausalConfig):
    width: int = Field(default=64, ge=1)
    """Size of item and user vectors; the paper's is 50."""
    window: int = Field(default=5, ge=1)
    """|L|, the latest items that are gated."""
    targets: int = Field(default=3, ge=1)
    """|T|, how many of the next items a window is trained to rank."""
    loss: Literal["bpr", "cross-entropy"] = "bpr"
    """`bpr` is the paper's, one uniform negative per target; `cross-entropy` the softmax over all items."""
    weight_decay: float = Field(default=1e-3, ge=0)
    """Decoupled; the paper's λ is an L2 penalty inside Adam."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 1e-2, log=True),
        "weight_decay": Real(1e-5, 1.0, log=True),
        "window": Whole(2, 10),
        "targets": Whole(1, 5),
        "width": Choice((32, 64, 128)),
    }


class HGNNetwork(CausalNetwork):
    """The state of a position is u + s + Σ e: user, gated window, and the window's items as they are.

    Multiplied with an item's output vector q it gives the paper's prediction, uᵀq + sᵀq + Σ eᵀq.
    """

    def __init__(self, config: HGNConfig, num_items: int) -> None:
        super().__init__()
        width, self.window = config.width, config.window
        self.items = nn.Embedding(num_items, width)
        self.inputs = nn.Embedding(num_items, width)
        self.tastes = nn.Embedding(num_items, width)
        self.feature_item = nn.Linear(width, width)
        self.feature_user = nn.Linear(width, width, bias=False)
        self.instance_item = nn.Linear(width, 1, bias=False)
        self.instance_user = nn.Linear(width, config.window, bias=False)
        for table in (self.inputs, self.tastes):
            nn.init.normal_(table.weight, std=1.0 / width)
        # Output vectors as small as the inputs would start every product at 1e-4, where BPR hardly learns.
        nn.init.normal_(self.items.weight, std=1.0 / width)
        for gate in (self.feature_item, self.feature_user, self.instance_item, self.instance_user):
            nn.init.xavier_uniform_(gate.weight)

    def windows(self, x_BTD: Tensor) -> Tensor:
        """[B, T, L, D] the latest L events at every position, the newest last, zeros before the first."""
        padded = F.pad(x_BTD, (0, 0, self.window - 1, 0))
        return padded.unfold(1, self.window, 1).transpose(2, 3)

    def users(self, rows_BT: Tensor) -> Tensor:
        """[B, T, D] the mean taste vector of the events so far."""
        counts_T = torch.arange(1, rows_BT.shape[1] + 1, device=rows_BT.device)
        users: Tensor = self.tastes(rows_BT).cumsum(dim=1) / counts_T[:, None]
        return users

    def forward(self, rows_BT: Tensor) -> Tensor:
        """[B, T, D], all windows of all users at once."""
        user_BTD = self.users(rows_BT)
        window_BTLD = self.windows(self.inputs(rows_BT))
        real_BTL = self.windows(torch.ones_like(rows_BT, dtype=user_BTD.dtype)[..., None])[..., 0]
        by_feature_BTLD = torch.sigmoid(
            self.feature_item(window_BTLD) + self.feature_user(user_BTD)[:, :, None]
        )
        gated_BTLD = window_BTLD * by_feature_BTLD  # feature gating
        by_instance_BTL = torch.sigmoid(self.instance_item(gated_BTLD)[..., 0] + self.instance_user(user_BTD))
        gated_BTLD = gated_BTLD * by_instance_BTL[..., None]  # instance gating
        pooled_BTD = gated_BTLD.sum(dim=2) / real_BTL.sum(dim=2, keepdim=True)  # average pooling
        return user_BTD + pooled_BTD + window_BTLD.sum(dim=2)


class HGN(CausalBaseline[HGNConfig]):
    """Hierarchical gating networks (Ma et al., KDD 2019): feature gate, instance gate, item–item product.

    Deviations: a user's vector is the mean of a taste vector per item of the history, where the paper learns
    a free one per user, so that new users can be answered as well; a window at the start of a history is
    shorter than L and averages over the items it has; negatives are drawn uniformly and dropped where they
    are in the user's window of training events.
    """

    config_class = HGNConfig
    module: HGNNetwork

    def build(self, num_items: int) -> HGNNetwork:
        return HGNNetwork(self.config, num_items)

    def loss(self, rows_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Mean over every (position, one of its next |T| events) pair."""
        ahead_BTF, real_BTF = next_events(rows_BT, lengths_B, self.config.targets)
        hidden_BTD = self.module(rows_BT[:, :-1])
        hidden_BTFD = hidden_BTD[:, :, None].expand(-1, -1, self.config.targets, -1)
        hidden_ND, targets_N = hidden_BTFD[real_BTF], ahead_BTF[real_BTF]
        if self.config.loss == "cross-entropy":
            return full_cross_entropy(hidden_ND, self.module.items.weight, targets_N)
        negatives_N = torch.randint(self.module.items.num_embeddings, targets_N.shape, device=rows_BT.device)
        owners_N = real_BTF.nonzero()[:, 0]
        known_N = (rows_BT[owners_N] == negatives_N[:, None]).any(dim=1)
        return bpr(hidden_ND, self.module.items(targets_N), self.module.items(negatives_N), ~known_N)


def next_events(rows_BT: Tensor, lengths_B: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """[B, T - 1, F] the events that follow each position, and which of them are real; lengths are targets."""
    steps = torch.arange(rows_BT.shape[1] - 1, device=rows_BT.device)
    places_TF = steps[:, None] + torch.arange(1, count + 1, device=rows_BT.device)
    real_BTF = places_TF <= lengths_B[:, None, None]
    return rows_BT[:, places_TF.clamp(max=rows_BT.shape[1] - 1)], real_BTF


def bpr(hidden_ND: Tensor, positive_ND: Tensor, negative_ND: Tensor, kept_N: Tensor) -> Tensor:
    """Mean over the kept pairs of −log σ(h·q⁺ − h·q⁻)."""
    margins_N = (hidden_ND * (positive_ND - negative_ND)).sum(dim=1)
    return -(F.logsigmoid(margins_N) * kept_N).sum() / kept_N.sum().clamp(min=1)
