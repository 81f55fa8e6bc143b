"""WEARec: a frequency filter that each history shapes for itself, beside a wavelet for sudden changes."""

# B users, T events, D width, H heads, E = D / H, N the paper's padded length, K its frequencies

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.shared.filtering import FilterBlock, FilterConfig, FilterNetwork, lags
from unimp.baselines.shared.taught import TaughtBaseline
from unimp.baselines.shared.transformer import check_heads
from unimp.core.search_space import Choice, Real, SearchSpace


class WEARecConfig(FilterConfig):
    heads: int = Field(default=4, ge=1)
    """Groups of features with a filter each; must divide the width."""
    filter_share: float = Field(default=0.3, ge=0, le=1)
    """α: the frequency filter's share of a layer's output; the rest is the wavelet's."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.1, 0.7),
        "filter_share": Real(0.1, 0.9),
        "heads": Choice((1, 2, 4, 8)),
        "width": Choice((32, 64, 128)),
    }


class OwnFilter(nn.Module):
    """Dynamic frequency filtering: the mean of a history scales and shifts its spectrum, head by head.

    Spectrum' = spectrum · W (1 + Δs) + b + Δb with (Δs, Δb) = MLP(mean). At the last position of a history
    padded to N this is a weighted sum of its events, the weights the inverse transform of W (1 + Δs), and a
    constant from b + Δb; both are computed for every prefix.
    """

    waves: Tensor
    """[K, N] the inverse transform as a matrix."""

    def __init__(self, config: WEARecConfig) -> None:
        super().__init__()
        width, length = config.width, config.max_events
        self.shape = (config.heads, length // 2 + 1)
        self.scale = nn.Parameter(torch.ones(self.shape))
        self.shift = nn.Parameter(torch.zeros(self.shape))
        self.shaping = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2 * self.shape[0] * self.shape[1])
        )
        waves_KN = torch.fft.irfft(torch.eye(self.shape[1]), n=length, dim=1)
        self.register_buffer("waves", waves_KN, persistent=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D]."""
        batch, length, width = x_BTD.shape
        counts_T = torch.arange(1, length + 1, device=x_BTD.device)
        means_BTD = x_BTD.cumsum(dim=1) / counts_T[:, None]
        shaped = self.shaping(means_BTD).view(batch, length, 2, *self.shape)
        kernels_BTHN = (self.scale * (1 + shaped[:, :, 0])) @ self.waves
        back_TT, reads_TT = (part.to(x_BTD.device) for part in lags(length))
        places_BTHT = back_TT[None, :, None].expand(batch, length, self.shape[0], length)
        weights_BTHT = kernels_BTHN.gather(3, places_BTHT) * reads_TT[:, None]
        heads_BHTE = x_BTD.view(batch, length, self.shape[0], -1).transpose(1, 2)
        read_BHTE = weights_BTHT.transpose(1, 2) @ heads_BHTE
        # A spectrum of norm 1 is 1/√N of a plain transform, so what is added to it comes back √N as large.
        size = self.waves.shape[1] ** 0.5
        shift_BTH = (self.shift + shaped[:, :, 1]) @ self.waves[:, -1] * size
        moved_BHTE = read_BHTE + shift_BTH.transpose(1, 2)[..., None]
        return moved_BHTE.transpose(1, 2).reshape(batch, length, width)


class WEARecBlock(FilterBlock):
    """α · frequency filter + (1 − α) · wavelet, then the feed-forward layer.

    The wavelet is Haar's, one level: of the last two events the half sum stays and the half difference is
    scaled per feature, (1 + w) x(t) / 2 + (1 − w) x(t − 1) / 2, zeros before the first event.
    """

    def __init__(self, config: WEARecConfig) -> None:
        super().__init__(config)
        self.share = config.filter_share
        self.own_filter = OwnFilter(config)
        self.detail = nn.Parameter(torch.ones(config.width))

    def wavelet(self, x_BTD: Tensor) -> Tensor:
        before_BTD = torch.cat([torch.zeros_like(x_BTD[:, :1]), x_BTD[:, :-1]], dim=1)
        return ((1 + self.detail) * x_BTD + (1 - self.detail) * before_BTD) / 2

    def filtered(self, x_BTD: Tensor) -> Tensor:
        return self.share * self.own_filter(x_BTD) + (1 - self.share) * self.wavelet(x_BTD)


class WEARec(TaughtBaseline[WEARecConfig]):
    """Wavelet enhanced adaptive frequency filter for sequential recommendation (Xu et al., AAAI 2026).

    Written from the paper's description. Deviations: every position of one pass is a target, each filtered as
    the last of its own prefix, so only the wavelet's last pair counts and one weight per feature stands for
    the paper's matrix; W is real. α and the number of heads are chosen per data set in the paper.
    """

    config_class = WEARecConfig

    def build(self, num_items: int) -> FilterNetwork:
        check_heads("wearec", self.config.width, self.config.heads)
        return FilterNetwork(self.config, num_items, lambda: WEARecBlock(self.config))
