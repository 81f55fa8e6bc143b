"""What causal sequential methods share: one pass over a user trains every position; the last one answers."""

# B users, T events, D width, I items, N real positions of a batch

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal, Protocol, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import TrainingData
from unimp.baselines.shared.neural import NeuralBaseline, NeuralConfig
from unimp.baselines.shared.sequences import batches_by_length, training_windows, whole_windows
from unimp.core.cross_entropy import full_cross_entropy
from unimp.data.histories import Histories


class CausalConfig(NeuralConfig):
    max_events: int = Field(default=50, ge=1)
    """Latest events that are read."""
    softmax_products: Literal["float32", "bfloat16"] = "float32"
    """Precision of the products over all items in the full softmax; everything else is float32."""

    added_later: ClassVar[frozenset[str]] = frozenset({"softmax_products"})


class CausalNetwork(nn.Module):
    """Item rows in, a state per position out; a position depends on itself and what came before.

    Rows are padded on the right, so no real position ever reads padding.
    """

    items: nn.Embedding
    """[I, D] the vectors that states are multiplied with."""

    @abstractmethod
    def forward(self, rows_BT: Tensor) -> Tensor:
        """[B, T, D]."""

    def states(self, rows_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, T, D]; of each row so many are real. Only position vectors counted from the end ask that."""
        hidden: Tensor = self(rows_BT)
        return hidden


CausalConfigT = TypeVar("CausalConfigT", bound=CausalConfig)


class CausalBaseline(NeuralBaseline[CausalConfigT]):
    """A `CausalNetwork` whose state at each event predicts the next; a subclass writes `build`.

    The loss is the full softmax at every position, unless `position_loss` or `loss` is overridden.
    """

    module: CausalNetwork

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        for rows_BT, lengths_B in target_batches(data.train, self.config, random):
            yield self.loss(rows_BT, lengths_B)

    def loss(self, rows_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Mean loss of rows[t + 1] given rows[: t + 1] over the real positions t; lengths count targets."""
        real_BT = torch.arange(rows_BT.shape[1] - 1, device=rows_BT.device) < lengths_B[:, None]
        hidden_ND = self.module.states(rows_BT[:, :-1], lengths_B)[real_BT]
        return self.position_loss(hidden_ND, rows_BT[:, 1:][real_BT])

    def position_loss(self, hidden_ND: Tensor, targets_N: Tensor) -> Tensor:
        """Mean over N positions of −log p(target)."""
        products = getattr(torch, self.config.softmax_products)
        return full_cross_entropy(hidden_ND, self.module.items.weight, targets_N, products=products)

    def score_batch(self, histories: Histories) -> Tensor:
        rows_BT, latest_B = latest_rows(histories, self.config)
        hidden_BD = last_states(self.module.states(rows_BT, latest_B + 1), latest_B)
        return hidden_BD @ self.module.items.weight.T


class ReadsSequences(Protocol):
    """The part of a config that says how much of a history is read, and where."""

    @property
    def max_events(self) -> int: ...
    @property
    def batch_events(self) -> int: ...
    @property
    def device(self) -> str: ...


def target_batches(
    train: Histories, config: ReadsSequences, random: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass of training: item rows [B, T] of windows, and the number of targets [B] of each."""
    windows = training_windows(train, config.max_events)
    for chosen in batches_by_length(windows.lengths - 1, config.batch_events, random):
        rows_BT = torch.from_numpy(windows.padded(chosen)).to(config.device)
        yield rows_BT, torch.from_numpy(windows.lengths[chosen] - 1).to(config.device)


def latest_rows(histories: Histories, config: ReadsSequences) -> tuple[Tensor, Tensor]:
    """Item rows [B, T] of every user's latest events, and the place [B] of the last."""
    windows = whole_windows(histories, config.max_events)
    rows_BT = torch.from_numpy(windows.padded(np.arange(len(windows)))).to(config.device)
    return rows_BT, torch.from_numpy(windows.lengths - 1).to(config.device)


def last_states(hidden_BTD: Tensor, latest_B: Tensor) -> Tensor:
    """[B, D] the state of each row at its place `latest`."""
    return hidden_BTD[torch.arange(len(latest_B), device=latest_B.device), latest_B]
