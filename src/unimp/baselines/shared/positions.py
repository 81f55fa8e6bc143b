"""Learnt position vectors, counted from the first event that is read or back from the last."""

# B users, T events, D width

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.shared.causal import CausalNetwork
from unimp.baselines.shared.neural import NeuralConfig

CountedFrom = Literal["start", "end"]


class PositionConfig(NeuralConfig):
    positions_from: CountedFrom = Field(default="start")
    """Where positions are counted: from the first event that is read, or back from the last, as code that
    pads on the left does; then a network knows which event is the last and so what was bought lately."""

    added_later: ClassVar[frozenset[str]] = frozenset({"positions_from"})


class PositionVectors(nn.Embedding):
    """One vector for each place of a history of at most `max_events`."""

    def __init__(self, max_events: int, width: int, counted_from: CountedFrom) -> None:
        super().__init__(max_events, width)
        self.counted_from = counted_from

    def of(self, steps: int, lengths_B: Tensor | None) -> Tensor:
        """[T, D] for the first T = `steps` places; counted from the end [B, T, D], or [T, D] where no
        lengths are given and all rows are real. What lies behind a row's end has the last place's vector."""
        if self.counted_from == "start":
            return self.weight[:steps]
        last = self.num_embeddings - 1
        steps_T = torch.arange(steps, device=self.weight.device)
        ends = steps if lengths_B is None else lengths_B[:, None]
        vectors: Tensor = self((last + 1 - ends + steps_T).clamp(0, last))
        return vectors


class PositionedNetwork(CausalNetwork):
    """A `CausalNetwork` that adds position vectors to what it reads."""

    positions: PositionVectors

    @abstractmethod
    def forward(self, rows_BT: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """[B, T, D]; `lengths` say how many rows are real, all where it is left out."""

    def states(self, rows_BT: Tensor, lengths_B: Tensor) -> Tensor:
        hidden: Tensor = self(rows_BT, lengths_B)
        return hidden
