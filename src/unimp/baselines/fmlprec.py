"""FMLP-Rec: no attention; a learnt filter per feature, multiplied in the frequency domain."""

# B users, T events, D width, N the paper's padded length, K its frequencies

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from unimp.baselines.shared.filtering import FilterBlock, FilterConfig, FilterNetwork, lags
from unimp.baselines.shared.taught import TaughtBaseline
from unimp.core.search_space import Choice, Real, SearchSpace, Whole


class FMLPRecConfig(FilterConfig):
    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.1, 0.7),
        "width": Choice((32, 64, 128)),
        "layers": Whole(1, 3),
    }


class FMLPRecBlock(FilterBlock):
    """The learnable filter layer of sec. 3.2 and its feed-forward layer.

    The paper pads a history on the left to N = max_events, multiplies its spectrum by a complex matrix W and
    reads the last position, where the result is Σ_d k(d) x(t − d), k the inverse transform of W. Doing so at
    every position filters each prefix as the paper would filter it alone.
    """

    def __init__(self, config: FMLPRecConfig) -> None:
        super().__init__(config)
        self.length = config.max_events
        self.spectrum = nn.Parameter(torch.randn(config.max_events // 2 + 1, config.width, 2) * 0.02)

    def kernel(self) -> Tensor:
        """[N, D] what the event d steps back weighs, per feature."""
        spectrum_KD = torch.view_as_complex(self.spectrum)
        kernel: Tensor = torch.fft.irfft(spectrum_KD, n=self.length, dim=0)
        return kernel

    def filtered(self, x_BTD: Tensor) -> Tensor:
        back_TT, reads_TT = (part.to(x_BTD.device) for part in lags(x_BTD.shape[1]))
        weights_DTT = (self.kernel()[back_TT] * reads_TT[..., None]).permute(2, 0, 1)
        return (weights_DTT @ x_BTD.permute(2, 1, 0)).permute(2, 1, 0)


class FMLPRec(TaughtBaseline[FMLPRecConfig]):
    """Filter-enhanced MLP is all you need for sequential recommendation (Zhou et al., WWW 2022).

    Deviations: full cross-entropy at every position of one pass, where the paper ranks one negative below the
    target in a row per prefix; later layers therefore read earlier positions as their own prefixes left them.
    Padding is zero, and positions are counted from where `positions_from` says.
    """

    config_class = FMLPRecConfig

    def build(self, num_items: int) -> FilterNetwork:
        return FilterNetwork(self.config, num_items, lambda: FMLPRecBlock(self.config))
