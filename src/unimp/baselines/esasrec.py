"""eSASRec: SASRec with gated pre-normalised layers and a softmax over sampled negatives."""

# B users, T events, D width, N positions, K negatives

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.gsasrec import sampled_scores
from unimp.baselines.sasrec import SASRecConfig, SASRecNetwork
from unimp.baselines.shared.causal import CausalBaseline
from unimp.baselines.shared.transformer import SelfAttention, check_heads, draw_small
from unimp.core.search_space import Choice, Real, SearchSpace


class ESASRecConfig(SASRecConfig):
    negatives: int = Field(default=256, ge=1)
    """Negatives of a target, uniform over the catalogue; the paper's number."""
    share: int = Field(default=8, ge=1)
    """Neighbouring targets of a batch that use the same drawing of negatives."""
    expansion: int = Field(default=4, ge=1)
    """Inner width of the feed-forward layer, in widths."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.1, 0.7),
        "negatives": Choice((64, 256, 1024)),
        "width": Choice((64, 128, 256)),
        "layers": Choice((1, 2, 4)),
    }


class GatedBlock(nn.Module):
    """LiGR's layer (Borisyuk et al., 2025): what a sub-layer adds is gated by the state it has read.

    x + σ(V n) ⊙ attention(n) and x + σ(V n) ⊙ feed-forward(n), n the normalised x; the feed-forward layer is
    a gated one, W₃ (silu(W₁ n) ⊙ W₂ n).
    """

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads, dropout)
        self.gate_attention, self.gate_feed_forward = nn.Linear(width, width), nn.Linear(width, width)
        self.rise, self.fall = nn.Linear(width, 2 * inner), nn.Linear(inner, width)
        self.norm_attention, self.norm_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def feed_forward(self, normed_BTD: Tensor) -> Tensor:
        slope, value = self.rise(normed_BTD).chunk(2, dim=-1)
        fallen: Tensor = self.fall(F.silu(slope) * value)
        return fallen

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D]."""
        normed = self.norm_attention(x_BTD)
        x_BTD = x_BTD + self.gate_attention(normed).sigmoid() * self.drop(self.attention(normed))
        normed = self.norm_feed_forward(x_BTD)
        return x_BTD + self.gate_feed_forward(normed).sigmoid() * self.drop(self.feed_forward(normed))


class ESASRecNetwork(SASRecNetwork):
    """SASRec's ends around gated layers."""

    def __init__(self, config: ESASRecConfig, num_items: int) -> None:
        super().__init__(config, num_items)
        width, inner = config.width, config.width * config.expansion
        self.blocks = nn.ModuleList(
            GatedBlock(width, config.heads, inner, config.dropout) for _ in range(config.layers)
        )
        draw_small(self)


class ESASRec(CausalBaseline[ESASRecConfig]):
    """eSASRec: enhancing transformer-based recommendations in a modular fashion (Tikhonovich et al., RecSys
    2025): shifted targets, LiGR layers, sampled softmax.

    Deviations: the width is 64 with two layers by default where the paper has 256 and four, which no small
    processor trains; neighbouring targets share their negatives; a negative that is the target is left out.
    """

    config_class = ESASRecConfig
    module: ESASRecNetwork

    def build(self, num_items: int) -> ESASRecNetwork:
        check_heads("esasrec", self.config.width, self.config.heads)
        return ESASRecNetwork(self.config, num_items)

    def position_loss(self, hidden_ND: Tensor, targets_N: Tensor) -> Tensor:
        """Mean over N positions of −log(e^s⁺ / (e^s⁺ + Σ e^s⁻)) over K sampled negatives."""
        config = self.config
        found = sampled_scores(hidden_ND, targets_N, self.module.items, config.negatives, config.share)
        negative_NK = found.negative_NK.masked_fill(found.drawn_NK == targets_N[:, None], -torch.inf)
        logits_NS = torch.cat([found.positive_N[:, None], negative_NK], dim=1)
        return F.cross_entropy(logits_NS, torch.zeros_like(targets_N))
