"""`ProcessGroup`: what the loop asks of the processes that train one model. Here, the team of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from unimp.core.errors import CheckpointError
from unimp.core.files import read_tensors, write_tensors
from unimp.model.unimp import UnimpModel
from unimp.runs.folder import SHARDED_STATE, STATE
from unimp.train.state import Position, take_moments, take_weights, training_tensors

Value = TypeVar("Value")


class ProcessGroup:
    """One process: nothing to share. `unimp.train.distributed` has the group of several."""

    rank, size = 0, 1
    neighbours = 1
    """Processes of this team on this machine."""
    shards = False
    """Whether a process holds a part of the weights only."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes files, validates and reports."""
        return self.rank == 0

    def broadcast(self, make: Callable[[], Value]) -> Value:
        """What the leading process makes; the others wait for it."""
        return make()

    def merge(self, position: Position) -> None:
        """Let the leading process count what all have counted."""

    def shard(
        self,
        step: nn.Module,
        model: UnimpModel,
        layer_dtype: torch.dtype | None,
        seed: int,
        replicated: nn.Module | None = None,
    ) -> None:
        """Share out the weights of `model` within `step`, whose forward is a whole training step.

        `layer_dtype`: in what decoder layers compute, where it is shorter than their weights. `replicated`:
        a table that every process holds as a whole, because a step reads few of its rows.
        """

    def union(self, rows: Tensor) -> Tensor:
        """The rows of a replicated table that the processes touch in this step, in rising order; with one
        process its own as they come. Each process calls it once a step with rows that are all different."""
        return rows

    def average(self, gradient: Tensor) -> None:
        """Put the mean over the processes in the place of each one's gradient of such rows."""

    def clip_gradients(self, model: UnimpModel, rows: Sequence[Tensor], most: float) -> None:
        """Scale all gradients so that their norm is `most` at most; `rows`: replicated, averaged before."""
        torch.nn.utils.clip_grad_norm_([*model.parameters(), *rows], most)

    def sync_unused_grads(self, model: UnimpModel) -> None:
        """After backward: a parameter that no process used has no gradient, as with one process."""

    def gathered(self, model: UnimpModel) -> dict[str, Tensor]:
        """All that learned, whole; with several processes, for the leading one alone."""
        return model.learned_state()

    def write_state(
        self, folder: Path, model: UnimpModel, optimizer: torch.optim.Optimizer, position: Position
    ) -> None:
        device = next(model.parameters()).device
        tensors = training_tensors(model, optimizer) | {"random": torch.get_rng_state()}
        if device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(device)
        write_tensors(folder / STATE, tensors, asdict(position))

    def read_state(
        self, folder: Path, model: UnimpModel, optimizer: torch.optim.Optimizer
    ) -> Position | None:
        """Where the folder's training stopped; None when it has not begun."""
        if (folder / SHARDED_STATE).exists():
            raise CheckpointError(
                f"{folder}: its training was begun by several processes; go on with "
                "`torchrun --nproc-per-node N -m unimp.cli.main train …` (any N, 1 too)"
            )
        if not (folder / STATE).exists():
            return None
        device = next(model.parameters()).device
        tensors, facts = read_tensors(folder / STATE)
        take_weights(model, tensors)
        take_moments(model, optimizer, tensors, device)
        torch.set_rng_state(tensors["random"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], device)
        return Position(**facts)

    def forget_state(self, folder: Path) -> None:
        """The training is finished: its state is of no more use."""
        (folder / STATE).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is shared any more."""
