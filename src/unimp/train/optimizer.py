"""What the optimizer of a training is given: groups of parameters, and the learning rate of every step."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from unimp.model.unimp import UnimpModel
from unimp.runs.recipe import Recipe
from unimp.runs.training_config import TrainConfig

BETAS = (0.9, 0.98)
"""Of AdamW."""
IDENTITY = "items.identity.weight"


def learning_rate(config: TrainConfig, step: int, total: int) -> float:
    """Of the step after `step` steps of `total`: linear warm-up, then cosine decay to `final_lr`."""
    warm = max(1, round(config.warmup * total))
    if step < warm:
        return config.lr * (step + 1) / warm
    done = min(1.0, (step - warm) / max(1, total - warm))
    return config.lr * (config.final_lr + (1 - config.final_lr) * (1 + math.cos(math.pi * done)) / 2)


def parameter_groups(model: UnimpModel, recipe: Recipe, *, sampled: bool = False) -> list[dict[str, Any]]:
    """Matrices decay; gates, norms and biases do not. Pretrained weights learn more slowly.

    `sampled`: without the identity table, which `RowAdamW` changes.
    """
    own = ("decoder.", "tokens.words.", "tokens.head.") if recipe.backbone.name else ()
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not (sampled and name == IDENTITY):
            decay = recipe.train.weight_decay if parameter.ndim >= 2 else 0.0
            share = recipe.backbone.lr_share if name.startswith(own) else 1.0
            if name.startswith("vision.encoder."):
                share = recipe.vision.lr_share
            groups.setdefault((share, decay), []).append(parameter)
    return [
        {"params": groups[share, decay], "weight_decay": decay, "share": share}
        for share, decay in sorted(groups, reverse=True)
    ]
