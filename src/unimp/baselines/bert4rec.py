"""BERT4Rec: items of the history are masked and found again from both sides."""

# B users, T events, D width, I items, N masked positions

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import TrainingData
from unimp.baselines.shared.causal import last_states
from unimp.baselines.shared.neural import NeuralBaseline
from unimp.baselines.shared.positions import PositionConfig, PositionVectors
from unimp.baselines.shared.sequences import batches_by_length, training_windows, whole_windows
from unimp.baselines.shared.transformer import Block, check_heads, draw_small
from unimp.core.cross_entropy import full_cross_entropy
from unimp.core.search_space import Choice, Real, SearchSpace, Whole
from unimp.data.histories import Histories, IntArray


class BERT4RecConfig(PositionConfig):
    width: int = Field(default=64, ge=1)
    """Size of item vectors and hidden states."""
    layers: int = Field(default=2, ge=1)
    """Transformer layers."""
    heads: int = Field(default=2, ge=1)
    """Attention heads; must divide the width."""
    expansion: int = Field(default=4, ge=1)
    """Inner width of the feed-forward layer, in widths."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """On the input, in attention and behind every sub-layer."""
    max_events: int = Field(default=50, ge=1)
    """Latest events that are read, the mask behind them not counted."""
    mask_share: float = Field(default=0.4, gt=0, le=1)
    """ρ, the share of a history that is masked, at least one event (the paper: .6 on Beauty, .2 on films)."""
    last_share: float = Field(default=0.2, ge=0, le=1)
    """Share of histories in which only the last event is masked, as at test time (sec. 3.6)."""
    epochs: int = Field(default=100, ge=1)
    """At most this many passes over the training events; a pass has targets at the masked places only."""
    validate_every: int = Field(default=2, ge=1)
    """Epochs from one validation to the next."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.1, 0.6),
        "mask_share": Real(0.1, 0.7),
        "width": Choice((32, 64, 128)),
        "layers": Whole(1, 3),
    }


class BERT4RecNetwork(nn.Module):
    """A bidirectional encoder; padding on the right is hidden from every position."""

    def __init__(self, config: BERT4RecConfig, num_items: int) -> None:
        super().__init__()
        width = config.width
        self.items = nn.Embedding(num_items, width)
        self.mask = nn.Embedding(1, width)
        self.positions = PositionVectors(config.max_events + 1, width, config.positions_from)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, width * config.expansion, config.dropout, "post", "gelu")
            for _ in range(config.layers)
        )
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(config.dropout)
        self.project = nn.Linear(width, width)
        self.item_bias = nn.Parameter(torch.zeros(num_items))
        draw_small(self)

    def forward(self, rows_BT: Tensor, masked_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, D]; rows under the mask are not read."""
        x_BTD = torch.where(masked_BT[..., None], self.mask.weight[0], self.items(rows_BT))
        x_BTD = self.drop(self.norm(x_BTD + self.positions.of(rows_BT.shape[1], lengths_B)))
        real_BT = torch.arange(rows_BT.shape[1], device=rows_BT.device) < lengths_B[:, None]
        for block in self.blocks:
            x_BTD = block(x_BTD, real_BT[:, None])
        return x_BTD

    def output(self, hidden_ND: Tensor) -> tuple[Tensor, Tensor]:
        """States and item vectors, [N, D + 1] and [I, D + 1], whose product is GELU(h W + b) Eᵀ + b_item."""
        states_ND = F.gelu(self.project(hidden_ND))
        # The item's bias is one more feature, which every state has at 1.
        states_NE = F.pad(states_ND, (0, 1), value=1.0)
        return states_NE, torch.cat([self.items.weight, self.item_bias[:, None]], dim=1)


class BERT4Rec(NeuralBaseline[BERT4RecConfig]):
    """Sequential recommendation with a bidirectional encoder (Sun et al., CIKM 2019): the cloze task.

    Loss: negative log likelihood of the masked items only (sec. 3.6), under the softmax over the whole
    catalogue (sec. 3.5). Masks are drawn anew every epoch. At test time the mask stands behind the history.
    A masked place always holds the mask, and a window that shares its first event with its neighbour counts
    that event twice.
    """

    config_class = BERT4RecConfig
    module: BERT4RecNetwork

    def build(self, num_items: int) -> BERT4RecNetwork:
        check_heads("bert4rec", self.config.width, self.config.heads)
        return BERT4RecNetwork(self.config, num_items)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        config, device = self.config, self.config.device
        windows = training_windows(data.train, config.max_events)
        for chosen in batches_by_length(windows.lengths, config.batch_events, random):
            lengths = windows.lengths[chosen]
            masked = draw_masks(lengths, config.mask_share, config.last_share, random)
            rows_BT = torch.from_numpy(windows.padded(chosen)).to(device)
            yield self.loss(
                rows_BT, torch.from_numpy(masked).to(device), torch.from_numpy(lengths).to(device)
            )

    def loss(self, rows_BT: Tensor, masked_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Mean over the masked places of −log p(item)."""
        hidden_ND = self.module(rows_BT, masked_BT, lengths_B)[masked_BT]
        states_NE, items_IE = self.module.output(hidden_ND)
        return full_cross_entropy(states_NE, items_IE, rows_BT[masked_BT])

    def score_batch(self, histories: Histories) -> Tensor:
        windows = whole_windows(histories, self.config.max_events)
        rows_BT = torch.from_numpy(windows.padded(np.arange(len(windows)))).to(self.config.device)
        ends_B = torch.from_numpy(windows.lengths).to(self.config.device)
        rows_BT = F.pad(rows_BT, (0, 1))
        masked_BT = torch.arange(rows_BT.shape[1], device=rows_BT.device) == ends_B[:, None]
        hidden_BD = last_states(self.module(rows_BT, masked_BT, ends_B + 1), ends_B)
        states_BE, items_IE = self.module.output(hidden_BD)
        return states_BE @ items_IE.T


def draw_masks(
    lengths_B: IntArray, mask_share: float, last_share: float, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """[B, T] which events are masked: max(1, round(ρ · length)) of a row, or its last one alone."""
    steps = np.arange(lengths_B.max(initial=0))
    real_BT = steps < lengths_B[:, None]
    draws_BT = np.where(real_BT, random.random(real_BT.shape), np.inf)
    counts_B = np.maximum(1, np.rint(mask_share * lengths_B))
    places_BT = draws_BT.argsort(axis=1).argsort(axis=1)  # 0 for the smallest draw of a row
    cloze_BT = places_BT < counts_B[:, None]
    last_BT = steps == lengths_B[:, None] - 1
    only_last_B = random.random(len(lengths_B)) < last_share
    return np.where(only_last_B[:, None], last_BT, cloze_BT)
