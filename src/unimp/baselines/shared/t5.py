"""A small encoder-decoder in the manner of T5: relative positions, RMS norms, one table for both ends."""

# B users, T tokens read, D width, H heads, K segments to decode, P tokens of a segment so far, V vocabulary

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimp.baselines.shared.transformer import draw_small

BUCKETS, FAR = 32, 128
"""Classes of distance that a relative position has a bias for, and the distance from which all are one."""


class RelativeBias(nn.Module):
    """A learnt bias per head and class of distance (Raffel et al., JMLR 2020, sec. 2.1), for all layers."""

    def __init__(self, heads: int, *, both_ways: bool) -> None:
        super().__init__()
        self.both_ways = both_ways
        self.biases = nn.Embedding(BUCKETS, heads)

    def forward(self, length: int) -> Tensor:
        """[H, length, length] of query by key; one way, what comes later is −inf."""
        places_T = torch.arange(length, device=self.biases.weight.device)
        ahead_TT = places_T - places_T[:, None]
        bias_HTT = self.biases(distance_class(ahead_TT, both_ways=self.both_ways)).permute(2, 0, 1)
        return bias_HTT if self.both_ways else bias_HTT.masked_fill(ahead_TT > 0, -torch.inf)


def distance_class(ahead: Tensor, *, both_ways: bool) -> Tensor:
    """0 … BUCKETS − 1: near distances one by one, further ones in steps that grow, each way for itself."""
    classes = BUCKETS // 2 if both_ways else BUCKETS
    exact = classes // 2
    distance = ahead.abs() if both_ways else (-ahead).clamp(min=0)
    growing = torch.log(distance.clamp(min=1) / exact) / math.log(FAR / exact) * (classes - exact)
    found = torch.where(distance < exact, distance, (exact + growing.long()).clamp(max=classes - 1))
    return found + classes * (ahead > 0) if both_ways else found


class Attention(nn.Module):
    """Multi-head attention of `x` to `memory` with an additive bias; no offsets, as in T5."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)

    def forward(self, x_BQD: Tensor, memory_BSD: Tensor, bias: Tensor) -> Tensor:
        """[B, Q, D]; bias is [B or 1, H or 1, Q or 1, S]."""
        batch, places, width = x_BQD.shape
        query = self.query(x_BQD).view(batch, places, self.heads, -1).transpose(1, 2)
        pair = self.key_value(memory_BSD).view(batch, memory_BSD.shape[1], 2, self.heads, -1)
        key, value = pair.permute(2, 0, 3, 1, 4)
        read = F.scaled_dot_product_attention(query, key, value, bias)
        mixed: Tensor = self.out(read.transpose(1, 2).reshape(batch, places, width))
        return mixed


class Adapter(nn.Module):
    """A bottleneck upon a sub-layer's output, h + W_up σ(W_down h); the identity at the start."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        adapted: Tensor = x + self.up(F.gelu(self.down(x)))
        return adapted


class Layer(nn.Module):
    """Self-attention, in a decoder a look at the memory, a feed-forward layer; norms before each.

    Dropout falls on each of their outputs and nowhere within: on a CPU its random numbers cost as much as the
    products themselves.
    """

    def __init__(
        self, width: int, heads: int, dropout: float, *, cross_attention: bool, adapter: int = 0
    ) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.cross_attention = Attention(width, heads) if cross_attention else None
        inner = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        self.feed_forward = nn.Sequential(inner[0], nn.ReLU(), inner[1])
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(3))
        self.adapters = nn.ModuleList(Adapter(width, adapter) if adapter else nn.Identity() for _ in range(2))
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, bias: Tensor, memory_BSD: Tensor, unread: Tensor) -> Tensor:
        """[B, T, D]; a user's segments are neighbours in the batch. `unread` is −inf at padding."""
        normed = self.norms[0](x_BTD)
        x_BTD = x_BTD + self.drop(self.adapters[0](self.attention(normed, normed, bias)))
        if self.cross_attention is not None:
            flat_BQD = self.norms[1](x_BTD).view(len(memory_BSD), -1, x_BTD.shape[2])
            x_BTD = x_BTD + self.drop(self.cross_attention(flat_BQD, memory_BSD, unread)).view_as(x_BTD)
        return x_BTD + self.drop(self.adapters[1](self.feed_forward(self.norms[2](x_BTD))))


class T5(nn.Module):
    """Reads embedded tokens both ways, writes tokens one by one."""

    def __init__(
        self, vocabulary: int, width: int, layers: int, heads: int, dropout: float, adapter: int = 0
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.read_bias, self.write_bias = (RelativeBias(heads, both_ways=both) for both in (True, False))
        self.encoder, self.decoder = (
            nn.ModuleList(
                Layer(width, heads, dropout, cross_attention=cross_attention, adapter=adapter)
                for _ in range(layers)
            )
            for cross_attention in (False, True)
        )
        self.norm_read, self.norm, self.drop = nn.RMSNorm(width), nn.RMSNorm(width), nn.Dropout(dropout)
        draw_small(self)
        for part in self.modules():
            if isinstance(part, Adapter):
                nn.init.zeros_(part.up.weight)

    def read(self, x_BTD: Tensor, real_BT: Tensor) -> Tensor:
        """[B, T, D] of embedded tokens; real ones see one another, nobody sees padding."""
        unread = padding_bias(real_BT)
        x_BTD, bias = self.drop(x_BTD), self.read_bias(x_BTD.shape[1]) + unread
        for layer in self.encoder:
            x_BTD = layer(x_BTD, bias, x_BTD, unread)
        memory: Tensor = self.norm_read(x_BTD)
        return memory

    def write(self, tokens_BKP: Tensor, memory_BTD: Tensor, real_BT: Tensor) -> Tensor:
        """[B, K, P, V] logits of what follows each token of each segment."""
        batch, segments, places = tokens_BKP.shape
        x_NPD, unread = self.tokens(tokens_BKP.flatten(0, 1)), padding_bias(real_BT)
        bias = self.write_bias(places)[None]
        for layer in self.decoder:
            x_NPD = layer(x_NPD, bias, memory_BTD, unread)
        logits: Tensor = self.norm(x_NPD) @ self.tokens.weight.T
        return logits.view(batch, segments, places, -1)


def padding_bias(real_BT: Tensor) -> Tensor:
    """[B, 1, 1, T] 0 where a token is real, −inf where it is padding."""
    return torch.zeros(real_BT.shape, device=real_BT.device).masked_fill(~real_BT, -torch.inf)[:, None, None]
