"""SASRec: causal self-attention over the history, trained with the full softmax at every position."""

# B users, T events, D width, H heads, I items, N real positions of a batch

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import TrainingData
from unimp.baselines.losses import full_cross_entropy
from unimp.baselines.neural import NeuralBaseline, NeuralConfig
from unimp.baselines.sequences import batches_by_length, training_windows, whole_windows
from unimp.data.histories import Histories
from unimp.errors import ConfigError


class SASRecConfig(NeuralConfig):
    width: int = Field(default=64, ge=1)
    """Size of item vectors and hidden states."""
    layers: int = Field(default=2, ge=1)
    """Self-attention blocks."""
    heads: int = Field(default=2, ge=1)
    """Attention heads; must divide the width. The paper uses one."""
    expansion: int = Field(default=1, ge=1)
    """Inner width of the feed-forward layer, in widths; the paper's is 1."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """On the input, in attention and behind every sub-layer; the paper's for sparse data is .5."""
    max_events: int = Field(default=50, ge=1)
    """Latest events that are read."""
    norm: Literal["pre", "post"] = "pre"
    """Where a block normalises; `pre` is the paper's, g(x) = x + Dropout(g(LayerNorm(x)))."""


class Block(nn.Module):
    """Causal self-attention and a pointwise feed-forward layer (Kang & McAuley 2018, sec. III-B)."""

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__()
        width, inner = config.width, config.width * config.expansion
        self.heads, self.dropout, self.pre = config.heads, config.dropout, config.norm == "pre"
        self.project_qkv = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, inner), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(inner, width)
        )
        self.norm_attention, self.norm_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)

    def attend(self, x_BTD: Tensor) -> Tensor:
        batch, length, width = x_BTD.shape
        qkv = self.project_qkv(x_BTD).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, T, D / H]
        dropout = self.dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout)
        mixed: Tensor = self.project_out(read.transpose(1, 2).reshape(batch, length, width))
        return mixed

    def forward(self, x_BTD: Tensor) -> Tensor:
        if self.pre:
            x_BTD = x_BTD + self.drop(self.attend(self.norm_attention(x_BTD)))
            return x_BTD + self.drop(self.feed_forward(self.norm_feed_forward(x_BTD)))
        x_BTD = self.norm_attention(x_BTD + self.drop(self.attend(x_BTD)))
        normed: Tensor = self.norm_feed_forward(x_BTD + self.drop(self.feed_forward(x_BTD)))
        return normed


class SASRecNetwork(nn.Module):
    """Item rows in, a hidden state per position out; the item table is read at both ends.

    Rows are padded on the right. A position sees itself and what came before, so padding needs no mask: no
    real position ever reads it, and the loss leaves it out.
    """

    def __init__(self, config: SASRecConfig, num_items: int) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items, config.width)
        self.positions = nn.Embedding(config.max_events, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity()
        self.drop = nn.Dropout(config.dropout)
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                nn.init.normal_(part.weight, std=0.02)
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.bias)

    def forward(self, rows_BT: Tensor) -> Tensor:
        """[B, T, D]."""
        # Items are scaled up as in the paper's code: at std .02 the positions would drown them.
        x_BTD = self.items(rows_BT) * self.items.embedding_dim**0.5
        x_BTD = self.drop(x_BTD + self.positions.weight[: rows_BT.shape[1]])
        for block in self.blocks:
            x_BTD = block(x_BTD)
        hidden: Tensor = self.norm(x_BTD)
        return hidden


class SASRec(NeuralBaseline[SASRecConfig]):
    """Self-attentive sequential recommendation (Kang & McAuley, ICDM 2018) with full cross-entropy.

    The paper's loss (sec. III-E) sets one sampled negative against each target. The softmax over all items
    at every position trains better and needs no sampling (Klenitskiy & Vasilev, RecSys 2023).
    """

    config_class = SASRecConfig
    module: SASRecNetwork

    def build(self, num_items: int) -> SASRecNetwork:
        if self.config.width % self.config.heads:
            raise ConfigError(
                f"sasrec: width {self.config.width} is not a multiple of heads {self.config.heads}"
            )
        return SASRecNetwork(self.config, num_items)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        windows = training_windows(data.train, self.config.max_events)
        for chosen in batches_by_length(windows.lengths - 1, self.config.batch_events, random):
            rows_BT = torch.from_numpy(windows.padded(chosen)).to(self.config.device)
            lengths_B = torch.from_numpy(windows.lengths[chosen] - 1).to(self.config.device)
            yield self.loss(rows_BT, lengths_B)

    def loss(self, rows_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Mean over the real positions t of −log p(rows[t + 1] | rows[: t + 1]); lengths count targets."""
        real_BT = torch.arange(rows_BT.shape[1] - 1, device=rows_BT.device) < lengths_B[:, None]
        hidden_ND = self.module(rows_BT[:, :-1])[real_BT]
        return full_cross_entropy(hidden_ND, self.module.items.weight, rows_BT[:, 1:][real_BT])

    def score_batch(self, histories: Histories) -> Tensor:
        windows = whole_windows(histories, self.config.max_events)
        rows_BT = torch.from_numpy(windows.padded(np.arange(len(windows)))).to(self.config.device)
        latest_B = torch.from_numpy(windows.lengths - 1).to(self.config.device)
        hidden_BTD = self.module(rows_BT)
        hidden_BD = hidden_BTD[torch.arange(len(latest_B), device=latest_B.device), latest_B]
        return hidden_BD @ self.module.items.weight.T
