"""SASRec: causal self-attention over the history, trained with the full softmax at every position."""

# B users, T events, D width

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.shared.causal import CausalConfig
from unimp.baselines.shared.positions import PositionConfig, PositionedNetwork, PositionVectors
from unimp.baselines.shared.taught import TaughtBaseline, TaughtConfig
from unimp.baselines.shared.transformer import Block, check_heads, draw_small
from unimp.core.search_space import Choice, Real, SearchSpace, Whole


class SASRecNetworkConfig(PositionConfig, CausalConfig):
    """The network's shape, and how much of a log is a step."""

    width: int = Field(default=64, ge=1)
    """Size of item vectors and hidden states."""
    layers: int = Field(default=2, ge=1)
    """Self-attention blocks."""
    heads: int = Field(default=2, ge=1)
    """Attention heads; must divide the width. The paper uses one."""
    expansion: int = Field(default=1, ge=1)
    """Inner width of the feed-forward layer, in widths; the paper's is 1."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """On the input, in attention and behind every sub-layer; the paper's for sparse data is .5."""
    batch_events: int = Field(default=512, ge=1)
    """Events in a batch, padding included. With more a small log gives too few steps: with 1,024 and dropout
    .5, hm's validation NDCG@5 is .046 instead of .048, and takes half as long again."""
    norm: Literal["pre", "post"] = "pre"
    """Where a block normalises; `pre` is the paper's, g(x) = x + Dropout(g(LayerNorm(x)))."""


class SASRecConfig(SASRecNetworkConfig, TaughtConfig):
    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.1, 0.7),
        "weight_decay": Choice((0.0, 1e-3, 1e-2, 0.1)),
        "width": Choice((32, 64, 128)),
        "layers": Whole(1, 3),
    }


class SASRecNetwork(PositionedNetwork):
    """Item rows in, a hidden state per position out; the item table is read at both ends."""

    def __init__(self, config: SASRecNetworkConfig, num_items: int) -> None:
        super().__init__()
        width, inner = config.width, config.width * config.expansion
        self.items = nn.Embedding(num_items, width)
        self.positions = PositionVectors(config.max_events, width, config.positions_from)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, inner, config.dropout, config.norm) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width) if config.norm == "pre" else nn.Identity()
        self.drop = nn.Dropout(config.dropout)
        draw_small(self)

    def forward(self, rows_BT: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """[B, T, D]."""
        # Items are scaled up as in the paper's code: at std .02 the positions would drown them.
        x_BTD = self.items(rows_BT) * self.items.embedding_dim**0.5
        x_BTD = self.drop(x_BTD + self.positions.of(rows_BT.shape[1], lengths_B))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        hidden: Tensor = self.norm(x_BTD)
        return hidden


class SASRec(TaughtBaseline[SASRecConfig]):
    """Self-attentive sequential recommendation (Kang & McAuley, ICDM 2018) with full cross-entropy.

    The paper's loss (sec. III-E) sets one sampled negative against each target. The softmax over all items
    at every position trains better and needs no sampling (Klenitskiy & Vasilev, RecSys 2023).
    """

    config_class = SASRecConfig

    def build(self, num_items: int) -> SASRecNetwork:
        check_heads("sasrec", self.config.width, self.config.heads)
        return SASRecNetwork(self.config, num_items)
