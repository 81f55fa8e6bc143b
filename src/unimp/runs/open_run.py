"""Open a finished run folder, ready to answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from unimp.core.devices import pick_device
from unimp.core.errors import CheckpointError
from unimp.core.files import read_json, read_tensors
from unimp.data.dataset import Dataset
from unimp.inference.score_sources import FusionWeights
from unimp.model.backbones.lora import merge_adapters
from unimp.model.unimp import UnimpModel
from unimp.runs.answerer import Answerer
from unimp.runs.artifact_files import load_artifacts
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.folder import BEST, FORMAT, REFIT, RESULT, RUN
from unimp.runs.recipe import Recipe
from unimp.runs.search_index import with_search
from unimp.runs.second_stage import saved_second_stage


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, opened: the model, what it stands on, and the data it was trained on."""

    folder: Path
    facts: dict[str, Any]
    result: dict[str, Any]
    artifacts: RunArtifacts
    model: UnimpModel
    weights_by_task: dict[str, FusionWeights]
    dataset: Dataset

    @property
    def refitted(self) -> bool:
        """Whether the model learned from the validation items too (`train.refit`)."""
        return bool(self.result.get("refit", False))

    @property
    def exclude_history(self) -> bool:
        """Whether rankings leave out a user's own items unless told otherwise: what validation did."""
        return bool(self.result.get("exclude_history", True))

    @cached_property
    def answerer(self) -> Answerer:
        """Ready for every task; of a large catalogue with its index, built where it is missing."""
        answerer = self.artifacts.answerer(self.model, self.weights_by_task)
        answerer = replace(answerer, exclude_history=self.exclude_history)
        histories = self.dataset.interactions.histories
        return with_search(
            weights_folder(self.folder, self.result), answerer, self.artifacts.recipe.retrieval, histories
        )


def weights_folder(folder: Path, result: dict[str, Any]) -> Path:
    """Where the model that answers is, and what it stands on."""
    return folder / REFIT if result.get("refit", False) else folder


def load_model(
    folder: Path, artifacts: RunArtifacts, device: torch.device, model: UnimpModel | None = None
) -> UnimpModel:
    """The best weights, in a new model or in the one given; CheckpointError when they belong to another."""
    tensors, facts = read_tensors(folder / BEST)
    for part, identity in artifacts.identities.items():
        if facts.get(part, identity) != identity:
            raise CheckpointError(
                f"{folder / BEST}: was trained with {part} {facts[part]}, the run has {part} {identity}; "
                "bring back the files that belong together, or train again"
            )
    model = (model or artifacts.new_model()).to(device)
    try:
        model.load_learned(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{folder / BEST}: does not fit its recipe ({reason}); train again") from None
    return model.eval()


def open_run(folder: Path | str, *, data: Path | str | None = None, device: str = "auto") -> TrainedRun:
    """Open a finished run; CheckpointError when it is damaged, unfinished, or its data changed."""
    target, folder = pick_device(device), Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such run folder; make one with `unimp train`")
    facts = read_json(folder / RUN)
    if facts.get("format") != FORMAT:
        raise CheckpointError(f"{folder}: run format {facts.get('format')}, this version reads {FORMAT}")
    if not (folder / RESULT).exists():
        raise CheckpointError(
            f"{folder}: training is not finished; run the same `unimp train` again to resume"
        )
    recipe = Recipe.parse(facts["recipe"], str(folder / RUN))
    dataset = Dataset.load(data or facts["data"])
    if dataset.data_hash != facts["data_hash"]:
        raise CheckpointError(
            f"{folder}: was trained on data {facts['data_hash']}, {dataset.folder} is {dataset.data_hash}; "
            "name the right folder with --data, or train again"
        )
    result = read_json(folder / RESULT)
    weights = weights_folder(folder, result)
    artifacts = load_artifacts(weights, recipe, dataset, target)
    exclude = bool(result.get("exclude_history", True))
    stage = saved_second_stage(folder, len(dataset.catalog), exclude_history=exclude)
    artifacts = replace(artifacts, second_stage=stage)
    model = load_model(weights, artifacts, target)
    if recipe.backbone.train == "lora":
        merge_adapters(model.decoder)
    weights_by_task = {name: FusionWeights(**values) for name, values in result["mixtures"].items()}
    return TrainedRun(folder, facts, result, artifacts, model, weights_by_task, dataset)
