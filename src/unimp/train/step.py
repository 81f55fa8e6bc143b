"""`Step`: the forward of one training step, and in what it may be computed."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from unimp.core.errors import ConfigError
from unimp.inference.forward import read
from unimp.model.inputs import ItemInputs
from unimp.model.unimp import UnimpModel
from unimp.runs.recipe import Recipe
from unimp.sentence.training_batch import TrainingBatch
from unimp.train.objective import Loss, Objective
from unimp.train.sampled import SampledItems


class Step(nn.Module):
    """A whole training step's forward, so that several processes can share out all that it reads."""

    def __init__(
        self,
        model: UnimpModel,
        objective: Objective,
        items: ItemInputs,
        short: bool,
        sampled: SampledItems | None = None,
    ) -> None:
        """`short`: compute in bfloat16 what lies between items and losses; `sampled`: None makes the vectors
        of all items and looks for the next one among all."""
        super().__init__()
        self.model, self.objective, self.items, self.short = model, objective, items, short
        self.sampled = sampled

    def forward(self, batch: TrainingBatch, weight: float, step: int) -> Loss:
        """The loss of the step after `step` steps."""
        log_weights: Tensor | None = None
        if self.sampled is None:
            state = self.model.item_state(self.items)
        else:
            state, batch, log_weights = self.sampled.at_step(self.model, batch, step)
        shorter = torch.autocast(batch.items.device.type, torch.bfloat16) if self.short else nullcontext()
        with shorter:
            hidden = read(self.model, state, batch)
        return self.objective(hidden.float(), state, batch, weight, log_weights)


def check_compute(recipe: Recipe, device: torch.device) -> None:
    """ConfigError for a way of computing that this device or this model does not have."""
    chosen = {
        "compile = true": recipe.train.compile,
        'precision = "bfloat16"': recipe.train.precision != "float32",
    }
    for key, on in chosen.items():
        if on and recipe.backbone.name:
            raise ConfigError(f"train.{key}: is for the compact decoder; set backbone.{key} instead")
        if on and device.type != "cuda":
            raise ConfigError(f"train.{key}: is for CUDA devices, this one is {device}; leave it out")
