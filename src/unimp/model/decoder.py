"""`CompactDecoder`: a small causal transformer with rotary positions and a pre-allocated KV cache."""

# B sentences, T positions, S cached positions, D width, H heads, K head width

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimp.core.low_pass import at_distances, low_pass

FILTER_SPAN, FILTER_CUTOFF = 50, 5
"""Positions that a layer's frequency filter spans, and how many of the lowest frequencies are the low part
(BSARec, Shin et al., AAAI 2024)."""
BeforeLayer = Callable[[int, Tensor], Tensor]
"""Called with the layer's number and its input [B, T, D]; what it returns enters the layer."""


@dataclass
class KVCache:
    """Keys and values of every layer, room for `capacity` positions, `used` of them filled."""

    keys: Tensor
    """[layers, B, H, capacity, K]."""
    values: Tensor
    """Likewise; twice as wide where a filter reads, beside a head's values, its part of a layer's input."""
    used: int = 0
    starts_B: Tensor | None = None
    """First position in use of each sentence, when they are aligned at their ends."""
    own_positions: bool = False
    """Each sentence's positions are counted from its own start, not from the cache's: so were those of the
    keys that are laid in, each read by itself before."""

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]


def cache_mask(cache: KVCache, length: int, device: torch.device) -> Tensor:
    """[T, S] (or [B, 1, T, S]) what `length` further positions may see: the past, without padding.

    A padding position sees itself, so that its values stay finite.
    """
    stop = cache.used + length
    seen_TS = torch.ones(length, stop, dtype=torch.bool, device=device).tril(cache.used)
    if cache.starts_B is None:
        return seen_TS
    itself_TS = torch.eye(stop, dtype=torch.bool, device=device)[cache.used :]
    real_BS = torch.arange(stop, device=device) >= cache.starts_B[:, None]
    return ((seen_TS & real_BS[:, None]) | itself_TS)[:, None]


def rotate(x_BHTK: Tensor, turns_2TK: Tensor) -> Tensor:
    """Rotary position embedding (RoFormer, Su et al. 2021, eq. 34), half-split layout.

    turns_2TK: cosines and sines of the positions' angles.
    """
    cos, sin = turns_2TK
    left, right = x_BHTK.chunk(2, dim=-1)
    return x_BHTK * cos + torch.cat((-right, left), dim=-1) * sin


class DecoderLayer(nn.Module):
    """Pre-norm causal self-attention, a filter beside it where asked, and a GELU feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, filter_share: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.filter_share = filter_share
        self.high_scale = nn.Parameter(torch.randn(width)) if filter_share else None

    def forward(
        self, x_BTD: Tensor, turns_2TK: Tensor, cache: KVCache | None, layer: int, low_TS: Tensor | None
    ) -> Tensor:
        """`low_TS`: [T, S] or [B, T, S] what each position weighs in the low frequencies at another."""
        batch, length, width = x_BTD.shape
        normed_BTD = self.attention_norm(x_BTD)
        qkv = self.qkv(normed_BTD).view(batch, length, 3, self.heads, width // self.heads)
        qkv_3BHTK = qkv.permute(2, 0, 3, 1, 4)
        q_BHTK, k_BHTK = rotate(qkv_3BHTK[:2], turns_2TK)
        v_BHTK = qkv_3BHTK[2]
        filtered_BSD, mask = normed_BTD, None
        if cache is not None:
            stop = cache.used + length
            cache.keys[layer, :, :, cache.used : stop] = k_BHTK
            cache.values[layer, :, :, cache.used : stop] = self.held(v_BHTK, normed_BTD)
            k_BHTK, held_BHSK = cache.keys[layer, :, :, :stop], cache.values[layer, :, :, :stop]
            v_BHTK = held_BHSK[..., : width // self.heads]
            if self.high_scale is not None:
                filtered_BSD = held_BHSK[..., width // self.heads :].transpose(1, 2).flatten(2)
            mask = cache_mask(cache, length, x_BTD.device)
        drop = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(
            q_BHTK, k_BHTK, v_BHTK, attn_mask=mask, dropout_p=drop, is_causal=mask is None
        )
        y = self.out(y.transpose(1, 2).reshape(batch, length, width))
        if low_TS is not None:
            y = (1 - self.filter_share) * y + self.filter_share * self.filtered(filtered_BSD, low_TS)
        x_BTD = x_BTD + F.dropout(y, self.dropout, self.training)
        y = self.down(F.gelu(self.up(self.feed_norm(x_BTD))))
        return x_BTD + F.dropout(y, self.dropout, self.training)

    def held(self, v_BHTK: Tensor, normed_BTD: Tensor) -> Tensor:
        """What a cache holds of values: with a filter, beside each head's its part of the normed input."""
        if self.high_scale is None:
            return v_BHTK
        parts_BHTK = normed_BTD.unflatten(2, (self.heads, -1)).transpose(1, 2)
        return torch.cat((v_BHTK, parts_BHTK), dim=-1)

    def filtered(self, normed_BSD: Tensor, low_TS: Tensor) -> Tensor:
        """[B, T, D] the input's low frequencies as they are, what is above them times a learned square."""
        assert self.high_scale is not None
        low_BTD = low_TS @ normed_BSD
        return low_BTD + self.high_scale**2 * (normed_BSD[:, -low_BTD.shape[1] :] - low_BTD)


class CompactDecoder(nn.Module):
    """Embeddings in, hidden states out; the vocabulary is none of its business."""

    inverse_frequencies: Tensor
    low_S: Tensor

    def __init__(
        self, width: int, layers: int, heads: int, hidden: int, dropout: float, filter_share: float = 0.0
    ) -> None:
        """`filter_share`: of the frequency filter in what a layer adds; the rest is attention's."""
        super().__init__()
        self.width, self.heads = width, heads
        self.layer_width, self.num_layers = width, layers
        self.hidden_size = 1.0
        """Root mean square of an entry of what comes out: the last norm's."""
        self.layers = nn.ModuleList(
            DecoderLayer(width, heads, hidden, dropout, filter_share) for _ in range(layers)
        )
        self.filter_share = filter_share
        self.register_buffer("low_S", low_pass(FILTER_SPAN, FILTER_CUTOFF), persistent=False)
        self.norm = nn.LayerNorm(width)
        half = torch.arange(0, width // heads, 2) / (width // heads)
        self.register_buffer("inverse_frequencies", 10_000.0**-half, persistent=False)

    def compile_layers(self) -> None:
        """Compile every layer; cross-attention, which looks different in each batch, stays outside."""
        for layer in self.layers:
            layer.forward = torch.compile(layer.forward, dynamic=True)

    def new_cache(self, batch: int, capacity: int, starts_B: Tensor | None = None) -> KVCache:
        shape = (len(self.layers), batch, self.heads, capacity, self.width // self.heads)
        held = (*shape[:-1], shape[-1] * (2 if self.filter_share else 1))
        like = self.inverse_frequencies
        return KVCache(like.new_zeros(shape), like.new_zeros(held), starts_B=starts_B)

    def forward(
        self, x_BTD: Tensor, cache: KVCache | None = None, before_layer: BeforeLayer | None = None
    ) -> Tensor:
        """[B, T, D] -> [B, T, D]. With a cache, `x` continues what the cache holds; the cache moves on."""
        start = cache.used if cache is not None else 0
        if cache is not None and start + x_BTD.shape[1] > cache.capacity:
            raise ValueError(f"KV cache holds {cache.capacity} positions, {start + x_BTD.shape[1]} needed")
        positions = torch.arange(start, start + x_BTD.shape[1], device=x_BTD.device)
        angles_TK = torch.outer(positions.float(), self.inverse_frequencies).repeat(1, 2)
        if cache is not None and cache.own_positions and cache.starts_B is not None:
            counted_B1T1 = (positions - cache.starts_B[:, None]).float()[:, None, :, None]
            angles_TK = (counted_B1T1 * self.inverse_frequencies).repeat(1, 1, 1, 2)  # [B, 1, T, K]
        turns_2TK = torch.stack((angles_TK.cos(), angles_TK.sin()))
        low_TS = self.low_weights(x_BTD.shape[1], cache) if self.filter_share else None
        for number, layer in enumerate(self.layers):
            if before_layer is not None:
                x_BTD = before_layer(number, x_BTD)
            x_BTD = layer(x_BTD, turns_2TK, cache, number, low_TS)
        if cache is not None:
            cache.used += x_BTD.shape[1]
        return self.norm(x_BTD)

    def low_weights(self, length: int, cache: KVCache | None) -> Tensor:
        """[T, S] (or [B, T, S]) of `length` further positions: what each real position before weighs."""
        start, device = (0 if cache is None else cache.used), self.low_S.device
        back_TS = torch.arange(start, start + length, device=device)[:, None]
        back_TS = back_TS - torch.arange(start + length, device=device)
        weights_TS = at_distances(self.low_S, back_TS)
        if cache is None or cache.starts_B is None:
            return weights_TS
        return weights_TS * cache_mask(cache, length, device)[:, 0]
