"""The self-attention block that the sequential methods share."""

# B users, T events, D width, H heads

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from unimp.core.errors import ConfigError

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, sec. 3.2)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.project_qkv = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, visible_BTT: Tensor | None = None) -> Tensor:
        """Every position reads itself and what came before; with `visible` (True = may read), what that says.

        `visible` may be [B, 1, T] as well.
        """
        batch, length, width = x_BTD.shape
        qkv = self.project_qkv(x_BTD).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, T, D / H]
        read = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if visible_BTT is None else visible_BTT[:, None],
            is_causal=visible_BTT is None,
            dropout_p=self.dropout if self.training else 0.0,
        )
        mixed: Tensor = self.project_out(read.transpose(1, 2).reshape(batch, length, width))
        return mixed


class Block(nn.Module):
    """Self-attention and a pointwise feed-forward layer, each with dropout, residual and normalisation."""

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        dropout: float,
        norm: Literal["pre", "post"] = "pre",
        activation: Literal["relu", "gelu"] = "relu",
    ) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.attention = SelfAttention(width, heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, inner), ACTIVATIONS[activation](), nn.Dropout(dropout), nn.Linear(inner, width)
        )
        self.norm_attention, self.norm_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, visible_BTT: Tensor | None = None) -> Tensor:
        """[B, T, D]; causal unless `visible` says otherwise, see `SelfAttention`."""
        if self.pre:
            x_BTD = x_BTD + self.drop(self.attention(self.norm_attention(x_BTD), visible_BTT))
            return x_BTD + self.drop(self.feed_forward(self.norm_feed_forward(x_BTD)))
        x_BTD = self.norm_attention(x_BTD + self.drop(self.attention(x_BTD, visible_BTT)))
        normed: Tensor = self.norm_feed_forward(x_BTD + self.drop(self.feed_forward(x_BTD)))
        return normed


def draw_small(module: nn.Module) -> None:
    """Normal weights of std .02 and zero biases, in every linear and embedding layer."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)


def check_heads(method: str, width: int, heads: int) -> None:
    """ConfigError unless the width splits evenly among the heads."""
    if width % heads:
        raise ConfigError(f"{method}: width {width} is not a multiple of heads {heads}")
