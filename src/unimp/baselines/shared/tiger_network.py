"""TIGER's network: an encoder of the history's codes, a decoder of a segment of codes per item to come."""

# B users, T events, D width, K segments to decode, P codes so far, S tokens read, L codes of an item,
# Q places of all segments, H heads, E = D / H

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimp.baselines.shared.transformer import Block, SelfAttention, draw_small


@dataclass
class Known:
    """What a decoder layer need not compute again while segments grow."""

    looked_at: Tensor
    """[2, B, H, S, E] keys and values of the memory."""
    places_2BKPHE: Tensor
    """Keys and values of each segment's places so far."""


@dataclass
class Segments:
    """Segments that grow code by code, by layer."""

    layers: list[Known]
    visible_BQS: Tensor
    """[B, 1, S] True where a user's segments may look."""

    @property
    def places(self) -> int:
        return self.layers[0].places_2BKPHE.shape[3]

    def follow(self, parent_BK: Tensor) -> None:
        """Let segment k of each user be the copy of segment `parent[k]` as it is now."""
        for known in self.layers:
            rows = parent_BK[None, :, :, None, None, None].expand(2, -1, -1, *known.places_2BKPHE.shape[3:])
            known.places_2BKPHE = known.places_2BKPHE.gather(2, rows)


class CrossAttention(nn.Module):
    """Every decoded place reads the tokens of the history that it may see."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.project_query, self.project_out = nn.Linear(width, width), nn.Linear(width, width)
        self.project_kv = nn.Linear(width, 2 * width)

    def keys_values(self, memory_BSD: Tensor) -> Tensor:
        """[2, B, H, S, D / H], what every question to this memory has in common."""
        batch, tokens, _ = memory_BSD.shape
        return self.project_kv(memory_BSD).view(batch, tokens, 2, self.heads, -1).permute(2, 0, 3, 1, 4)

    def forward(self, x_BQD: Tensor, keys_values: Tensor, visible_BQS: Tensor) -> Tensor:
        """[B, Q, D]; True in `visible` = may read."""
        batch, places, width = x_BQD.shape
        query = self.project_query(x_BQD).view(batch, places, self.heads, -1).transpose(1, 2)
        key, value = keys_values
        dropout = self.dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(query, key, value, visible_BQS[:, None], dropout_p=dropout)
        mixed: Tensor = self.project_out(read.transpose(1, 2).reshape(batch, places, width))
        return mixed


class SegmentDecoderLayer(nn.Module):
    """Self-attention within a segment, a look at the history, a feed-forward layer; norms before each."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads, dropout)
        self.look = CrossAttention(width, heads, dropout)
        self.feed_forward = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BKPD: Tensor, memory_BSD: Tensor, visible_BQS: Tensor) -> Tensor:
        segments_NPD = x_BKPD.flatten(0, 1)
        segments_NPD = segments_NPD + self.drop(self.attention(self.norms[0](segments_NPD)))
        flat_BQD = segments_NPD.view_as(x_BKPD).flatten(1, 2)
        return self.finish(flat_BQD, self.look.keys_values(memory_BSD), visible_BQS).view_as(x_BKPD)

    def finish(self, x_BQD: Tensor, looked_at: Tensor, visible_BQS: Tensor) -> Tensor:
        """What follows self-attention, each place for itself."""
        x_BQD = x_BQD + self.drop(self.look(self.norms[1](x_BQD), looked_at, visible_BQS))
        fed: Tensor = x_BQD + self.drop(self.feed_forward(self.norms[2](x_BQD)))
        return fed

    def grow(self, x_BKD: Tensor, known: Known, visible_BQS: Tensor) -> Tensor:
        """`forward` of each segment's newest place alone; its keys and values join what is known."""
        heads = self.attention.heads
        qkv = self.attention.project_qkv(self.norms[0](x_BKD)).unflatten(2, (3, heads, -1))
        query_BKHE, *kv = qkv.unbind(2)
        known.places_2BKPHE = torch.cat([known.places_2BKPHE, torch.stack(kv)[:, :, :, None]], dim=3)
        keys_BKPHE, values_BKPHE = known.places_2BKPHE
        odds_BKPH = (query_BKHE[:, :, None] * keys_BKPHE).sum(4) / query_BKHE.shape[3] ** 0.5
        read_BKHE = (odds_BKPH.softmax(dim=2)[..., None] * values_BKPHE).sum(2)
        x_BKD = x_BKD + self.attention.project_out(read_BKHE.flatten(2))
        return self.finish(x_BKD, known.looked_at, visible_BQS)


class TIGERNetwork(nn.Module):
    """Codes of the history through the encoder; a segment of codes per item to come through the decoder."""

    codes: Tensor
    """[I, L]."""

    def __init__(
        self,
        codes_IL: Tensor,
        *,
        width: int,
        layers: int,
        heads: int,
        expansion: int,
        dropout: float,
        max_events: int,
    ) -> None:
        super().__init__()
        self.num_levels, inner = codes_IL.shape[1], width * expansion
        self.sizes = [int(size) for size in codes_IL.amax(dim=0) + 1]
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size in self.sizes)
        self.start = nn.Embedding(1, width)
        self.levels = nn.Embedding(self.num_levels, width)
        self.positions = nn.Embedding(max_events, width)
        self.encoder = nn.ModuleList(Block(width, heads, inner, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(SegmentDecoderLayer(width, heads, inner, dropout) for _ in range(layers))
        self.norm_read, self.norm, self.drop = nn.LayerNorm(width), nn.LayerNorm(width), nn.Dropout(dropout)
        self.outputs = nn.ModuleList(nn.Linear(width, size) for size in self.sizes)
        draw_small(self)
        self.register_buffer("codes", codes_IL)

    def read(self, rows_BT: Tensor) -> Tensor:
        """[B, S = T · L, D]; a token sees all codes of its own item and of those before."""
        codes_BTL = self.codes[rows_BT]
        x = torch.stack([table(codes_BTL[..., level]) for level, table in enumerate(self.tables)], dim=2)
        x = x + self.levels.weight + self.positions.weight[: rows_BT.shape[1], None]
        x_BSD = self.drop(x.flatten(1, 2))
        events_S = self.events(x_BSD)
        visible_SS = events_S[:, None] >= events_S
        for block in self.encoder:
            x_BSD = block(x_BSD, visible_SS.expand(len(x_BSD), -1, -1))
        memory: Tensor = self.norm_read(x_BSD)
        return memory

    def events(self, memory_BSD: Tensor) -> Tensor:
        """[S] to which event each token belongs."""
        return torch.arange(memory_BSD.shape[1], device=memory_BSD.device) // self.num_levels

    def decode(self, codes_BKP: Tensor, memory_BSD: Tensor, latest_BK: Tensor) -> Tensor:
        """[B, K, P + 1, D] states that predict codes 0 … P of segments that see events 0 … latest."""
        places = codes_BKP.shape[2]
        known = [self.tables[level](codes_BKP[..., level]) for level in range(places)]
        start = self.start.weight[0].expand(*codes_BKP.shape[:2], -1)
        x_BKPD = self.drop(torch.stack([start, *known], dim=2) + self.levels.weight[: places + 1])
        visible_BQS = (self.events(memory_BSD) <= latest_BK[..., None]).repeat_interleave(places + 1, dim=1)
        for layer in self.decoder:
            x_BKPD = layer(x_BKPD, memory_BSD, visible_BQS)
        states: Tensor = self.norm(x_BKPD)
        return states

    @property
    def layers(self) -> list[SegmentDecoderLayer]:
        return [layer for layer in self.decoder if isinstance(layer, SegmentDecoderLayer)]

    def begin(self, memory_BSD: Tensor, latest_B: Tensor) -> Segments:
        """One segment per user, nothing of it decoded yet."""
        looked_at = [layer.look.keys_values(memory_BSD) for layer in self.layers]
        nothing = [kv.new_zeros((2, len(kv[0]), 1, 0, kv.shape[2], kv.shape[4])) for kv in looked_at]
        layers = [Known(kv, none) for kv, none in zip(looked_at, nothing, strict=True)]
        return Segments(layers, (self.events(memory_BSD) <= latest_B[:, None])[:, None])

    def grow(self, segments: Segments, codes_BK: Tensor) -> Tensor:
        """[B, K, D] states that predict the next code, as `decode` has them; `codes` come last, if any do."""
        level = segments.places
        latest = self.tables[level - 1](codes_BK) if level else self.start(torch.zeros_like(codes_BK))
        x_BKD = self.drop(latest + self.levels.weight[level])
        visible_BQS = segments.visible_BQS.expand(-1, codes_BK.shape[1], -1)
        for layer, known in zip(self.layers, segments.layers, strict=True):
            x_BKD = layer.grow(x_BKD, known, visible_BQS)
        states: Tensor = self.norm(x_BKD)
        return states
