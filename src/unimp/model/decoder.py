"""`CompactDecoder`: a small causal transformer with rotary positions and a pre-allocated KV cache."""

# B sentences, T positions, S cached positions, D width, H heads, K head width

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BeforeLayer = Callable[[int, Tensor], Tensor]
"""Called with the layer's number and its input [B, T, D]; what it returns enters the layer."""


@dataclass
class KVCache:
    """Keys and values of every layer, room for `capacity` positions, `used` of them filled."""

    keys: Tensor
    """[layers, B, H, capacity, K]."""
    values: Tensor
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
    """Pre-norm causal self-attention and a GELU feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x_BTD: Tensor, turns_2TK: Tensor, cache: KVCache | None, layer: int) -> Tensor:
        batch, length, width = x_BTD.shape
        qkv = self.qkv(self.attention_norm(x_BTD)).view(batch, length, 3, self.heads, width // self.heads)
        qkv_3BHTK = qkv.permute(2, 0, 3, 1, 4)
        q_BHTK, k_BHTK = rotate(qkv_3BHTK[:2], turns_2TK)
        v_BHTK = qkv_3BHTK[2]
        mask = None
        if cache is not None:
            stop = cache.used + length
            cache.keys[layer, :, :, cache.used : stop] = k_BHTK
            cache.values[layer, :, :, cache.used : stop] = v_BHTK
            k_BHTK, v_BHTK = cache.keys[layer, :, :, :stop], cache.values[layer, :, :, :stop]
            mask = cache_mask(cache, length, x_BTD.device)
        drop = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(
            q_BHTK, k_BHTK, v_BHTK, attn_mask=mask, dropout_p=drop, is_causal=mask is None
        )
        y = self.out(y.transpose(1, 2).reshape(batch, length, width))
        x_BTD = x_BTD + F.dropout(y, self.dropout, self.training)
        y = self.down(F.gelu(self.up(self.feed_norm(x_BTD))))
        return x_BTD + F.dropout(y, self.dropout, self.training)


class CompactDecoder(nn.Module):
    """Embeddings in, hidden states out; the vocabulary is none of its business."""

    inverse_frequencies: Tensor

    def __init__(self, width: int, layers: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.layer_width, self.num_layers = width, layers
        self.hidden_size = 1.0
        """Root mean square of an entry of what comes out: the last norm's."""
        self.layers = nn.ModuleList(DecoderLayer(width, heads, hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        half = torch.arange(0, width // heads, 2) / (width // heads)
        self.register_buffer("inverse_frequencies", 10_000.0**-half, persistent=False)

    def compile_layers(self) -> None:
        """Compile every layer; cross-attention, which looks different in each batch, stays outside."""
        for layer in self.layers:
            layer.forward = torch.compile(layer.forward, dynamic=True)

    def new_cache(self, batch: int, capacity: int, starts_B: Tensor | None = None) -> KVCache:
        shape = (len(self.layers), batch, self.heads, capacity, self.width // self.heads)
        like = self.inverse_frequencies
        return KVCache(like.new_zeros(shape), like.new_zeros(shape), starts_B=starts_B)

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
        for number, layer in enumerate(self.layers):
            if before_layer is not None:
                x_BTD = before_layer(number, x_BTD)
            x_BTD = layer(x_BTD, turns_2TK, cache, number)
        if cache is not None:
            cache.used += x_BTD.shape[1]
        return self.norm(x_BTD)
