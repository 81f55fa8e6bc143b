"""What the methods share whose blocks filter a history in frequency: BSARec, FMLP-Rec, WEARec."""

# B users, T events, D width, I items

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.shared.positions import PositionConfig, PositionedNetwork, PositionVectors
from unimp.baselines.shared.taught import TaughtConfig
from unimp.baselines.shared.transformer import draw_small


class FilterConfig(PositionConfig, TaughtConfig):
    width: int = Field(default=64, ge=1)
    """Size of item vectors and hidden states."""
    layers: int = Field(default=2, ge=1)
    """Blocks."""
    expansion: int = Field(default=4, ge=1)
    """Inner width of the feed-forward layer, in widths."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """On the input and behind every sub-layer; in attention where there is any."""


class FilterNetwork(PositionedNetwork):
    """Items and positions through the blocks; the item table is read at both ends."""

    def __init__(self, config: FilterConfig, num_items: int, block: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items, config.width)
        self.positions = PositionVectors(config.max_events, config.width, config.positions_from)
        self.blocks = nn.ModuleList(block() for _ in range(config.layers))
        self.norm, self.drop = nn.LayerNorm(config.width), nn.Dropout(config.dropout)
        draw_small(self)

    def forward(self, rows_BT: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """[B, T, D]."""
        places = self.positions.of(rows_BT.shape[1], lengths_B)
        x_BTD = self.drop(self.norm(self.items(rows_BT) + places))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return x_BTD


class FilterBlock(nn.Module):
    """A filter over the events, then a feed-forward layer, each normalised behind its residual.

    A subclass writes `filtered`.
    """

    def __init__(self, config: FilterConfig) -> None:
        super().__init__()
        width, inner = config.width, config.width * config.expansion
        self.feed_forward = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.norm_filter, self.norm_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)

    @abstractmethod
    def filtered(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D]; a position reads itself and what came before."""

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D]."""
        x_BTD = self.norm_filter(x_BTD + self.drop(self.filtered(x_BTD)))
        normed: Tensor = self.norm_feed_forward(x_BTD + self.drop(self.feed_forward(x_BTD)))
        return normed


def lags(length: int) -> tuple[Tensor, Tensor]:
    """[T, T] how many events back s lies from t, 0 where it lies ahead; and 1.0 where it does not."""
    steps = torch.arange(length)
    back_TT = steps[:, None] - steps
    return back_TT.clamp(min=0), (back_TT >= 0).float()
