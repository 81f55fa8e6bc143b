"""UniSRec: items are what their text says, whitened and mixed by experts, so that learning can travel."""

# B users, T events, F text width, D width, I items, E experts, N positions

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import Arrays, TrainingData
from unimp.baselines.shared.causal import CausalBaseline, CausalConfig, CausalNetwork, last_states
from unimp.baselines.shared.sequences import batches_by_length, training_windows, whole_windows
from unimp.baselines.shared.transformer import Block, check_heads, draw_small
from unimp.core.cross_entropy import full_cross_entropy
from unimp.core.progress import progress_bar
from unimp.core.search_space import Choice, Real, SearchSpace
from unimp.data.histories import Histories


class UniSRecConfig(CausalConfig):
    width: int = Field(default=64, ge=1)
    """Size of item vectors and hidden states; the paper's is 300."""
    layers: int = Field(default=2, ge=1)
    """Transformer layers."""
    heads: int = Field(default=2, ge=1)
    """Attention heads; must divide the width."""
    expansion: int = Field(default=4, ge=1)
    """Inner width of the feed-forward layer, in widths."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """On the input, in attention and behind every sub-layer."""
    experts: int = Field(default=8, ge=1)
    """G, whitening networks that the adaptor mixes."""
    text_dropout: float = Field(default=0.2, ge=0, lt=1)
    """On the text features that a whitening network reads."""
    temperature: float = Field(default=0.07, gt=0)
    """τ of the cosines, in pre-training and after."""
    setting: Literal["transductive", "inductive"] = "transductive"
    """`transductive` adds an id vector to every item after pre-training; `inductive` stays with the text."""
    pretrain_epochs: int = Field(default=5, ge=0)
    """Passes of contrastive pre-training, on the training events."""
    sequence_weight: float = Field(default=1e-3, ge=0)
    """λ of the sequence–sequence contrast."""
    drop_share: float = Field(default=0.2, ge=0, lt=1)
    """Of the events of a history, or of the features of its items, that its augmented copy lacks."""
    fix_encoder: bool = False
    """True: after pre-training only adaptor and id vectors learn, as in the paper."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.1, 0.7),
        "temperature": Real(0.03, 0.3, log=True),
        "pretrain_epochs": Choice((0, 5, 10)),
        "width": Choice((32, 64, 128)),
    }


class Adaptor(nn.Module):
    """Parametric whitenings, mixed: v = Σ_k g_k (x − b_k) W_k, g = softmax(x W₂ + ε softplus(x W₃))."""

    def __init__(self, config: UniSRecConfig, num_features: int) -> None:
        super().__init__()
        experts, width = config.experts, config.width
        self.offsets_EF = nn.Parameter(torch.zeros(experts, num_features))
        self.whiten_EFD = nn.Parameter(0.02 * torch.randn(experts, num_features, width))
        self.gate_FE = nn.Parameter(torch.zeros(num_features, experts))
        self.noise_FE = nn.Parameter(torch.zeros(num_features, experts))
        self.drop = nn.Dropout(config.text_dropout)

    def forward(self, features_IF: Tensor) -> Tensor:
        """[I, D]; the gates are noisy in training only."""
        logits_IE = features_IF @ self.gate_FE
        if self.training:
            noise_IE = F.softplus(features_IF @ self.noise_FE)
            logits_IE = logits_IE + torch.randn_like(logits_IE) * noise_IE
        gates_IE = logits_IE.softmax(dim=1)
        dropped_IF = self.drop(features_IF)
        vectors_ID = torch.zeros(())
        # (x − b) W = x W − b W: nothing of the features' size has a gradient then.
        for expert, (offset_F, whiten_FD) in enumerate(zip(self.offsets_EF, self.whiten_EFD, strict=True)):
            whitened_ID = torch.addmm(-(offset_F @ whiten_FD), dropped_IF, whiten_FD)
            vectors_ID = vectors_ID + gates_IE[:, expert, None] * whitened_ID
        return vectors_ID


class UniSRecNetwork(CausalNetwork):
    """Text through the adaptor (and id vectors, once they are used), then a causal transformer."""

    features: Tensor
    """[I, F] text, as it came."""

    def __init__(self, config: UniSRecConfig, features_IF: Tensor) -> None:
        super().__init__()
        width = config.width
        self.adaptor = Adaptor(config, features_IF.shape[1])
        self.items = nn.Embedding(len(features_IF), width)
        self.positions = nn.Embedding(config.max_events, width)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, width * config.expansion, config.dropout, "post", "gelu")
            for _ in range(config.layers)
        )
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(config.dropout)
        draw_small(self)
        self.register_buffer("features", features_IF)

    def table(self, *, with_ids: bool) -> Tensor:
        """[I, D] the items' vectors, read at both ends."""
        text_ID: Tensor = self.adaptor(self.features)
        return text_ID + self.items.weight if with_ids else text_ID

    def encode(self, rows_BT: Tensor, table_ID: Tensor) -> Tensor:
        """[B, T, D], causal."""
        x_BTD = F.embedding(rows_BT, table_ID) + self.positions.weight[: rows_BT.shape[1]]
        x_BTD = self.drop(self.norm(x_BTD))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return x_BTD

    def forward(self, rows_BT: Tensor) -> Tensor:
        return self.encode(rows_BT, self.table(with_ids=True))


class UniSRec(CausalBaseline[UniSRecConfig]):
    """Universal sequence representations (Hou et al., KDD 2022): whitening, adaptor, two contrasts.

    Deviations: pre-training reads the training events of this data alone, not five other domains, so the
    encoder goes on learning afterwards (`fix_encoder` is the paper's way); its sequence–item contrast, like
    the softmax over all items that follows, is taken at every position of one pass; an augmented history
    lacks events or, in the place of words, features of its items' text; the width is smaller; text features
    are the benchmark's own.
    """

    config_class = UniSRecConfig
    module: UniSRecNetwork
    content: Tensor

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        self.content = torch.from_numpy(data.content("text", type(self).__name__))
        super().learn(data, seed=seed, show_progress=show_progress)

    def restore(self, arrays: Arrays) -> None:
        self.content = torch.from_numpy(arrays["features"])
        super().restore(arrays)

    def build(self, num_items: int) -> UniSRecNetwork:
        check_heads("unisrec", self.config.width, self.config.heads)
        return UniSRecNetwork(self.config, self.content)

    @property
    def with_ids(self) -> bool:
        return self.config.setting == "transductive"

    def train_epochs(self, data: TrainingData, random: np.random.Generator, show_progress: bool) -> None:
        if self.config.pretrain_epochs:
            self.pretrain(data, random, show_progress)
        if self.config.fix_encoder:
            for part in (self.module.blocks, self.module.positions, self.module.norm):
                part.requires_grad_(False)
        super().train_epochs(data, random, show_progress)

    def pretrain(self, data: TrainingData, random: np.random.Generator, show_progress: bool) -> None:
        config, windows = self.config, training_windows(data.train, self.config.max_events)
        optimizer = torch.optim.AdamW(self.module.parameters(), lr=config.lr)
        self.module.train()
        loss = torch.zeros(())
        with progress_bar("UniSRec: pre-training", config.pretrain_epochs, show=show_progress) as bar:
            for _ in range(config.pretrain_epochs):
                for chosen in batches_by_length(windows.lengths - 1, config.batch_events, random):
                    rows_BT = torch.from_numpy(windows.padded(chosen)).to(config.device)
                    lengths_B = torch.from_numpy(windows.lengths[chosen] - 1).to(config.device)
                    loss = self.contrasts(rows_BT, lengths_B)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                bar.advance(1, f"loss {loss.item():.3f}")

    def contrasts(self, rows_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Sequence–item plus λ sequence–sequence, each against what else is in the batch."""
        config, module = self.config, self.module
        table_ID = module.table(with_ids=False)
        read_BT, real_BT = rows_BT[:, :-1], real_places(rows_BT, lengths_B)
        hidden_BTD = module.encode(read_BT, table_ID)
        targets_N = rows_BT[:, 1:][real_BT]
        by_item = contrast(
            hidden_BTD[real_BT], F.embedding(targets_N, table_ID), config.temperature, targets_N
        )
        if torch.rand(()) < 0.5:
            other_BT, kept_B = drop_events(read_BT, lengths_B, config.drop_share)
            other_BTD = module.encode(other_BT, table_ID)
        else:
            kept_B = lengths_B
            poorer_ID = module.adaptor(F.dropout(module.features, config.drop_share))
            other_BTD = module.encode(read_BT, poorer_ID)
        by_sequence = contrast(
            last_states(hidden_BTD, lengths_B - 1), last_states(other_BTD, kept_B - 1), config.temperature
        )
        return by_item + config.sequence_weight * by_sequence

    def loss(self, rows_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Mean over real positions of −log softmax(cos(s, v) / τ)[target], every item in the denominator."""
        table_ID = self.module.table(with_ids=self.with_ids)
        real_BT = real_places(rows_BT, lengths_B)
        hidden_ND = self.module.encode(rows_BT[:, :-1], table_ID)[real_BT]
        queries_ND = F.normalize(hidden_ND, dim=1) / self.config.temperature
        return full_cross_entropy(queries_ND, F.normalize(table_ID, dim=1), rows_BT[:, 1:][real_BT])

    def score_batch(self, histories: Histories) -> Tensor:
        windows = whole_windows(histories, self.config.max_events)
        rows_BT = torch.from_numpy(windows.padded(np.arange(len(windows)))).to(self.config.device)
        latest_B = torch.from_numpy(windows.lengths - 1).to(self.config.device)
        table_ID = self.module.table(with_ids=self.with_ids)
        hidden_BD = last_states(self.module.encode(rows_BT, table_ID), latest_B)
        return F.normalize(hidden_BD, dim=1) @ F.normalize(table_ID, dim=1).T


def real_places(rows_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """[B, T - 1] True where a position has a target; lengths count targets."""
    return torch.arange(rows_BT.shape[1] - 1, device=rows_BT.device) < lengths_B[:, None]


def contrast(
    queries_ND: Tensor, keys_ND: Tensor, temperature: float, names_N: Tensor | None = None
) -> Tensor:
    """Mean of −log softmax over the batch's keys of cos / τ, the own key being right.

    With `names`, another key of the same name is not held against a query.
    """
    logits_NN = F.normalize(queries_ND, dim=1) @ F.normalize(keys_ND, dim=1).T / temperature
    own_N = torch.arange(len(logits_NN), device=logits_NN.device)
    if names_N is not None:
        same_NN = (names_N == names_N[:, None]) & (own_N != own_N[:, None])
        logits_NN = logits_NN.masked_fill(same_NN, -torch.inf)
    return F.cross_entropy(logits_NN, own_N)


def drop_events(rows_BT: Tensor, lengths_B: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Histories without some of their events, closed up on the left, and their lengths; one event stays."""
    real_BT = torch.arange(rows_BT.shape[1], device=rows_BT.device) < lengths_B[:, None]
    draws_BT = torch.rand(rows_BT.shape, device=rows_BT.device).masked_fill(~real_BT, -1.0)
    kept_BT = real_BT & ((draws_BT >= share) | (draws_BT == draws_BT.amax(dim=1, keepdim=True)))
    order_BT = (~kept_BT).to(torch.uint8).argsort(dim=1, stable=True)
    return rows_BT.gather(1, order_BT), kept_BT.sum(dim=1)
