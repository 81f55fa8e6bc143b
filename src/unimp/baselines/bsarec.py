"""BSARec: a frequency filter beside self-attention keeps what attention would smooth away."""

# B users, T events, D width, N the paper's padded length

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.shared.filtering import FilterConfig, FilterNetwork
from unimp.baselines.shared.taught import TaughtBaseline
from unimp.baselines.shared.transformer import SelfAttention, check_heads
from unimp.core.errors import ConfigError
from unimp.core.low_pass import at_distances, low_pass
from unimp.core.search_space import Choice, Real, SearchSpace


class BSARecConfig(FilterConfig):
    heads: int = Field(default=1, ge=1)
    """Attention heads; must divide the width."""
    filter_share: float = Field(default=0.7, ge=0, le=1)
    """α: the filter's share of a layer's output; the rest is self-attention's."""
    cutoff: int = Field(default=5, ge=1)
    """c, odd: how many of the lowest of the N frequencies (the constant, and pairs ±f) are the low part."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.1, 0.7),
        "filter_share": Real(0.1, 0.9),
        "cutoff": Choice((1, 3, 5, 7, 9)),
        "width": Choice((32, 64, 128)),
    }


class FrequencyFilter(nn.Module):
    """The attentive inductive bias of sec. 4: low frequencies as they are, high ones scaled by β².

    The paper pads a history on the left to N = max_events, transforms it as a whole and reads the last
    position only. At that position the low part is a weighted sum of the history: the event d steps back
    weighs k(d) = (1 + 2 Σ_{f=1}^{(c−1)/2} cos(2π f d / N)) / N. Doing so at every position filters each
    prefix as the paper would filter it alone, and no position sees a later one.
    """

    kernel: Tensor
    """[N, N] k(t − s), zero above the diagonal."""

    def __init__(self, config: BSARecConfig) -> None:
        super().__init__()
        self.high_scale = nn.Parameter(torch.randn(config.width))
        self.norm, self.drop = nn.LayerNorm(config.width), nn.Dropout(config.dropout)
        self.register_buffer("kernel", low_pass_kernel(config.max_events, config.cutoff), persistent=False)

    def low_part(self, x_BTD: Tensor) -> Tensor:
        length = x_BTD.shape[1]
        return self.kernel[:length, :length] @ x_BTD

    def forward(self, x_BTD: Tensor) -> Tensor:
        low_BTD = self.low_part(x_BTD)
        filtered_BTD = low_BTD + self.high_scale**2 * (x_BTD - low_BTD)
        normed: Tensor = self.norm(x_BTD + self.drop(filtered_BTD))
        return normed


class BSARecBlock(nn.Module):
    """α · filter + (1 − α) · self-attention, then a feed-forward layer, normalised behind residuals."""

    def __init__(self, config: BSARecConfig) -> None:
        super().__init__()
        width, inner = config.width, config.width * config.expansion
        self.share = config.filter_share
        self.filter = FrequencyFilter(config)
        self.attention = SelfAttention(width, config.heads, config.dropout)
        self.feed_forward = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.norm_attention, self.norm_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        attended_BTD = self.norm_attention(x_BTD + self.drop(self.attention(x_BTD)))
        mixed_BTD = self.share * self.filter(x_BTD) + (1 - self.share) * attended_BTD
        normed: Tensor = self.norm_feed_forward(mixed_BTD + self.drop(self.feed_forward(mixed_BTD)))
        return normed


class BSARec(TaughtBaseline[BSARecConfig]):
    """Beyond self-attention for sequential recommendation (Shin et al., AAAI 2024).

    Full cross-entropy, as in the paper, but at every position of one pass where the paper makes a row per
    prefix. A Fourier transform of the whole row would show every position its future; `FrequencyFilter` is
    the paper's filter as each prefix meets it, at its last position, so the first layer is the same, and
    later layers read earlier positions as their own prefixes left them. Padding is zero here (the paper's has
    position vectors). The paper counts positions from the end (`positions_from`).
    """

    config_class = BSARecConfig

    def build(self, num_items: int) -> FilterNetwork:
        check_heads("bsarec", self.config.width, self.config.heads)
        if self.config.cutoff % 2 == 0:
            raise ConfigError(
                f"bsarec: cutoff {self.config.cutoff} is even; frequencies come in pairs ±f, so odd"
            )
        return FilterNetwork(self.config, num_items, lambda: BSARecBlock(self.config))


def low_pass_kernel(length: int, cutoff: int) -> Tensor:
    """[N, N] row t holds what the events s ≤ t weigh in the low part at t, the end of a row of N."""
    back = torch.arange(length)[:, None] - torch.arange(length)
    return at_distances(low_pass(length, cutoff), back)
