"""Resampler: a fixed number of learned queries that read a picture's visual tokens (Flamingo, sec. 3.1.1)."""

# P pictures, V visual tokens, R queries, E visual width, H heads, K head width

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResamplerLayer(nn.Module):
    """The queries attend to the picture and to themselves, then pass a feed-forward layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_queries, self.norm_visual = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.forward_part = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x_PRE: Tensor, visual_PVE: Tensor) -> Tensor:
        queries = self.norm_queries(x_PRE)
        seen = torch.cat((self.norm_visual(visual_PVE), queries), dim=1)
        q_PHRK = self.query(queries).unflatten(2, (self.heads, -1)).transpose(1, 2)
        k, v = self.key_value(seen).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        read = F.scaled_dot_product_attention(q_PHRK, k, v).transpose(1, 2).flatten(2)
        x_PRE = x_PRE + self.out(read)
        out: Tensor = x_PRE + self.forward_part(x_PRE)
        return out


class Resampler(nn.Module):
    """[P, V, E] -> [P, R, E], whatever V is."""

    def __init__(self, width: int, queries: int, layers: int = 2) -> None:
        super().__init__()
        self.queries_RE = nn.Parameter(torch.randn(queries, width) * 0.5)
        heads = next(heads for heads in (8, 4, 2, 1) if width % heads == 0)
        self.layers = nn.ModuleList(ResamplerLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, visual_PVE: Tensor) -> Tensor:
        x_PRE = self.queries_RE.expand(len(visual_PVE), -1, -1)
        for layer in self.layers:
            x_PRE = layer(x_PRE, visual_PVE)
        normed: Tensor = self.norm(x_PRE)
        return normed
