"""A small shop, prepared for all six tasks; the model is as random as its seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from unimp.data.dataset import Dataset
from unimp.data.histories import Split
from unimp.data.splits import leave_one_out
from unimp.demo.shop.settings import ShopConfig
from unimp.model.unimp import UnimpModel
from unimp.runs.answerer import Answerer
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.recipe import Recipe
from unimp.runs.training_split import TrainingSplit
from unimp.tasks import TASKS
from unimp.tasks.task import AnyTask
from unimp.train.preparation import build_artifacts

SHOP = ShopConfig(num_items=320, num_users=60, picture_size=16)
SIX: dict[str, Any] = {
    "tasks": tuple(TASKS),
    "sentence": {"fields": ["category"]},
    "tokenizer": {"size": 400},
    "content": {"text": 8},
    "vision": {
        "kind": "catalogue",
        "height": 16,
        "image_width": 16,
        "token_width": 8,
        "pretrain_epochs": 1,
    },
    "image_tokenizer": {
        "enabled": True,
        "height": 16,
        "image_width": 16,
        "reduction": 8,
        "levels": (4, 4),
        "channels": 16,
        "blocks": 1,
        "epochs": 1,
    },
    "model": {"width": 16, "layers": 2, "heads": 2, "hidden": 32, "dropout": 0.1, "likeness": 8},
    "structure": {"kind": "cosine", "neighbours": 10},
    "train": {"epochs": 2, "lr": 5e-3, "batch_positions": 512, "threads": 1, "valid_users": 12},
}
TABLES = {"tokens.weight", "items.identity.weight"}


def six_recipe(**tables: Any) -> Recipe:
    """SIX with some tables changed; a table is laid upon the one of SIX."""
    values = {
        name: {**SIX[name], **table} if isinstance(table, dict) and name in SIX else table
        for name, table in tables.items()
    }
    return Recipe.parse({**SIX, **values}, "test")


@dataclass(frozen=True)
class Six:
    """Everything but the training."""

    dataset: Dataset
    artifacts: RunArtifacts

    @cached_property
    def split(self) -> Split:
        return leave_one_out(self.dataset.interactions.histories, len(self.dataset.catalog))

    def task(self, name: str) -> Any:
        known: dict[str, AnyTask] = {task.name: task for task in self.artifacts.tasks}
        return known[name]

    def model(self, seed: int = 0, *, gate: float = 0.7) -> UnimpModel:
        """Random weights so large that every part of a sentence matters and nothing is a near tie."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.artifacts.new_model()
            for name, parameter in model.named_parameters():
                if parameter.ndim >= 2:
                    torch.nn.init.normal_(parameter, std=0.1 if name in TABLES else 0.5)
        for block in model.cross_attention:
            block.gate.data.fill_(gate)
        return model.eval()

    def filtering(self) -> Six:
        """The same with a frequency filter in every layer of the decoder."""
        recipe = self.artifacts.recipe
        model = recipe.model.model_copy(update={"filter_share": 0.6})
        return Six(self.dataset, replace(self.artifacts, recipe=recipe.model_copy(update={"model": model})))

    @cached_property
    def answerer(self) -> Answerer:
        return self.artifacts.answerer(self.model())


def prepare(dataset: Dataset, **tables: Any) -> Six:
    split = leave_one_out(dataset.interactions.histories, len(dataset.catalog))
    training_split = TrainingSplit.of(dataset, split)
    artifacts = build_artifacts(
        training_split, six_recipe(**tables), device=torch.device("cpu"), show_progress=False
    )
    return Six(dataset, artifacts)
