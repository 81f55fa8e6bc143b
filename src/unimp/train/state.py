"""Where a training stands: its position, and the tensors that it goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unimp.core.averaging import AVERAGE
from unimp.model.unimp import UnimpModel

MOMENTS = ("exp_avg", "exp_avg_sq", AVERAGE)
"""What the optimizer holds of a parameter, of its shape; an average only where the recipe wants one."""


@dataclass
class Position:
    """Where the training stands; all that is needed beside tensors to go on as if never stopped."""

    epoch: int = 0
    batch: int = 0
    """Batches done in this epoch, by all processes together."""
    step: int = 0
    total_steps: int = 0
    """Of the whole training, with as many processes as took part."""
    best: float = -1.0
    best_epoch: int = -1
    stale: int = 0
    """Epochs since the best one."""
    seconds: float = 0.0
    """Spent training so far, all sittings together."""
    loss_sum: float = 0.0
    loss_count: int = 0
    components: dict[str, list[float]] = field(default_factory=dict)
    """`task/part` -> [sum of its losses, batches that had it]."""
    places: int = 0
    """Positions of this epoch's batches so far, padding included."""
    padding: int = 0
    finished: bool = False

    def count(self, task: str, loss: float, components: Mapping[str, float], places: int, used: int) -> None:
        """Add one batch to what the epoch's line of the log will say."""
        self.loss_sum += loss
        self.loss_count += 1
        self.places += places
        self.padding += places - used
        for name, value in components.items():
            self.add(f"{task}/{name}", value, 1)

    def add(self, name: str, total: float, batches: float) -> None:
        tally = self.components.setdefault(name, [0.0, 0.0])
        tally[0] += total
        tally[1] += batches

    def take(self, other: Position) -> None:
        """Add what another process counted."""
        self.loss_sum += other.loss_sum
        self.loss_count += other.loss_count
        self.places += other.places
        self.padding += other.padding
        for name, (total, batches) in other.components.items():
            self.add(name, total, batches)

    def forget_counts(self) -> None:
        """Begin a new epoch, or leave what was counted to the process that took it."""
        self.loss_sum, self.loss_count, self.places, self.padding = 0.0, 0, 0, 0
        self.components = {}


def training_tensors(model: UnimpModel, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Weights that learn and the optimizer's moments, by name."""
    tensors = {f"model.{name}": tensor for name, tensor in model.learned_state().items()}
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter, {})
        for key in (*MOMENTS, "step"):
            if key in state:
                tensors[f"optimizer.{key}.{name}"] = state[key]
    return tensors


def take_moments(
    model: UnimpModel, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], device: torch.device
) -> None:
    """Give the optimizer the moments that `training_tensors` named."""
    for name, parameter in model.named_parameters():
        if f"optimizer.step.{name}" in tensors:
            moments = {
                key: tensors[f"optimizer.{key}.{name}"].to(device)
                for key in MOMENTS
                if f"optimizer.{key}.{name}" in tensors
            }
            optimizer.state[parameter] = {"step": tensors[f"optimizer.step.{name}"], **moments}


def take_weights(model: UnimpModel, tensors: Mapping[str, Tensor]) -> None:
    """Give the model the weights that `training_tensors` named."""
    model.load_learned(
        {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    )
