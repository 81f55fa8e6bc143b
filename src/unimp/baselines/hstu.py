"""HSTU: sequential transduction with pointwise attention, gated, and biased by place and time."""

# B users, T events, D width, H heads, E width of a head

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import TrainingData
from unimp.baselines.shared.causal import CausalBaseline, CausalConfig, CausalNetwork, last_states
from unimp.baselines.shared.sequences import Windows, batches_by_length, training_windows, whole_windows
from unimp.baselines.shared.transformer import check_heads, draw_small
from unimp.core.cross_entropy import full_cross_entropy
from unimp.core.search_space import Choice, Real, SearchSpace, Whole
from unimp.data.histories import NO_TIME, Histories, IntArray


class HSTUConfig(CausalConfig):
    width: int = Field(default=64, ge=1)
    """Size of item vectors and hidden states."""
    layers: int = Field(default=2, ge=1)
    """HSTU layers."""
    heads: int = Field(default=2, ge=1)
    """Attention heads; must divide the width."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """On the input and before every output projection; attention has none."""
    time_buckets: int = Field(default=128, ge=1)
    """Classes of the time between two events, in steps of a factor e^.301; 0-second gaps are in the first."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(3e-4, 5e-3, log=True),
        "dropout": Real(0.1, 0.7),
        "weight_decay": Choice((0.0, 1e-3, 1e-2, 0.1)),
        "width": Choice((32, 64, 128)),
        "layers": Whole(1, 3),
    }


class HSTULayer(nn.Module):
    """Eq. (1)–(3): U, V, Q, K = SiLU(f1(X)); A V = SiLU(Q Kᵀ + rab) V / N; Y = f2(Norm(A V) ⊙ U) + X."""

    def __init__(self, config: HSTUConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.max_events = config.heads, config.max_events
        self.norm_in, self.norm_read = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project_in, self.project_out = nn.Linear(width, 4 * width), nn.Linear(width, width)
        self.place_bias = nn.Parameter(0.02 * torch.randn(config.max_events))
        self.time_bias = nn.Parameter(0.02 * torch.randn(config.time_buckets))
        self.drop = nn.Dropout(config.dropout)

    def attend(
        self, query_BHTE: Tensor, key_BHTE: Tensor, value_BHTE: Tensor, gap_BTT: Tensor | None
    ) -> Tensor:
        """[B, H, T, E]; no softmax: weights do not compete, so how much there was to read still shows.

        Divided by the longest history, as in the authors' code, and not by the batch's longest row.
        """
        places = torch.arange(query_BHTE.shape[2], device=query_BHTE.device)
        back_TT = places[:, None] - places
        logits_BHTT = query_BHTE @ key_BHTE.transpose(2, 3) + self.place_bias[back_TT.clamp(min=0)]
        if gap_BTT is not None:
            # An unknown gap has the class behind the last one, whose bias is 0 for good.
            logits_BHTT = logits_BHTT + F.pad(self.time_bias, (0, 1))[gap_BTT][:, None]
        weights_BHTT = F.silu(logits_BHTT) / self.max_events
        return weights_BHTT.masked_fill(back_TT < 0, 0.0) @ value_BHTE

    def forward(self, x_BTD: Tensor, gap_BTT: Tensor | None) -> Tensor:
        batch, length, width = x_BTD.shape
        projected = F.silu(self.project_in(self.norm_in(x_BTD)))
        gate_BTD, rest = projected.split((width, 3 * width), dim=2)
        value, query, key = rest.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        read_BTD = self.attend(query, key, value, gap_BTT).transpose(1, 2).reshape(batch, length, width)
        update: Tensor = self.project_out(self.drop(self.norm_read(read_BTD) * gate_BTD))
        return x_BTD + update


class HSTUNetwork(CausalNetwork):
    """Items and positions through the layers; the item table is read at both ends."""

    def __init__(self, config: HSTUConfig, num_items: int) -> None:
        super().__init__()
        self.buckets = config.time_buckets
        self.items = nn.Embedding(num_items, config.width)
        self.positions = nn.Embedding(config.max_events, config.width)
        self.layers = nn.ModuleList(HSTULayer(config) for _ in range(config.layers))
        self.norm, self.drop = nn.LayerNorm(config.width), nn.Dropout(config.dropout)
        draw_small(self)

    def forward(self, rows_BT: Tensor, times_BT: Tensor | None = None) -> Tensor:
        """[B, T, D]; without `times` all gaps are unknown."""
        gap_BTT = None if times_BT is None else gap_classes(times_BT, self.buckets)
        x_BTD = self.items(rows_BT) * self.items.embedding_dim**0.5
        x_BTD = self.drop(x_BTD + self.positions.weight[: rows_BT.shape[1]])
        for layer in self.layers:
            x_BTD = layer(x_BTD, gap_BTT)
        hidden: Tensor = self.norm(x_BTD)
        return hidden


class HSTU(CausalBaseline[HSTUConfig]):
    """Hierarchical sequential transduction units (Zhai et al., ICML 2024, sec. 3.1): the layer, on item ids.

    Deviations: the loss is the softmax over all items at every position (the paper samples negatives); the
    time bias uses the events' own times, where the authors' code looks at the time of the event that is to be
    predicted; states are normalised once more at the end and items multiplied as they are (their code has
    cosines over a temperature); no actions are interleaved. Data without times has no time bias.
    """

    config_class = HSTUConfig
    module: HSTUNetwork

    def build(self, num_items: int) -> HSTUNetwork:
        check_heads("hstu", self.config.width, self.config.heads)
        return HSTUNetwork(self.config, num_items)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        windows = training_windows(data.train, self.config.max_events)
        for chosen in batches_by_length(windows.lengths - 1, self.config.batch_events, random):
            rows_BT = torch.from_numpy(windows.padded(chosen)).to(self.config.device)
            times_BT = self.times(windows, chosen)
            lengths_B = torch.from_numpy(windows.lengths[chosen] - 1).to(self.config.device)
            real_BT = torch.arange(rows_BT.shape[1] - 1, device=rows_BT.device) < lengths_B[:, None]
            hidden_ND = self.module(rows_BT[:, :-1], None if times_BT is None else times_BT[:, :-1])[real_BT]
            yield full_cross_entropy(hidden_ND, self.module.items.weight, rows_BT[:, 1:][real_BT])

    def score_batch(self, histories: Histories) -> Tensor:
        windows = whole_windows(histories, self.config.max_events)
        everybody = np.arange(len(windows))
        rows_BT = torch.from_numpy(windows.padded(everybody)).to(self.config.device)
        latest_B = torch.from_numpy(windows.lengths - 1).to(self.config.device)
        hidden_BTD = self.module(rows_BT, self.times(windows, everybody))
        return last_states(hidden_BTD, latest_B) @ self.module.items.weight.T

    def times(self, windows: Windows, chosen: IntArray) -> Tensor | None:
        """[B, T] UTC seconds, or None where no event has a time: then the bias is by place alone."""
        if (windows.times == NO_TIME).all():
            return None
        return torch.from_numpy(windows.padded_times(chosen)).to(self.config.device)


def gap_classes(times_BT: Tensor, buckets: int) -> Tensor:
    """[B, T, T] ⌊ln(max(1, |t − s|)) / .301⌋, at most the last class; `buckets` where a time is unknown."""
    known_BT = times_BT != NO_TIME
    times_BT = torch.where(known_BT, times_BT, 0)
    gap_BTT = (times_BT[:, :, None] - times_BT[:, None]).abs().clamp(min=1)
    class_BTT = (gap_BTT.double().log() / 0.301).long().clamp(max=buckets - 1)
    return torch.where(known_BT[:, :, None] & known_BT[:, None], class_BTT, buckets)
