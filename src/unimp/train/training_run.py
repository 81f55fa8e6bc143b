"""Train a recipe on a data set into a run folder, or go on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from unimp.core.compute import device_name, peak_memory_mib, set_threads
from unimp.core.devices import pick_device
from unimp.core.errors import ConfigError
from unimp.core.files import read_json, write_json
from unimp.core.progress import say
from unimp.data.dataset import Dataset
from unimp.fusion.weights import FittedWeights
from unimp.inference.score_sources import FusionWeights
from unimp.inference.vector_index import import_faiss
from unimp.model.unimp import UnimpModel
from unimp.runs.artifact_files import load_artifacts, map_content, save_artifacts
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.folder import REFIT, RESULT, claimed
from unimp.runs.memory_needs import check_memory
from unimp.runs.open_run import load_model, weights_folder
from unimp.runs.recipe import Recipe
from unimp.runs.search_index import with_search
from unimp.runs.second_stage import fit_second_stage
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.tasks.fitting import fit_fusion_weights
from unimp.train.distillation import SoftTargets, soft_targets
from unimp.train.preparation import build_artifacts, for_training, masks_history
from unimp.train.process_group import ProcessGroup
from unimp.train.refit import split_with_validation
from unimp.train.sampled import samples_items
from unimp.train.step import check_compute
from unimp.train.trainer import Training


def train(
    dataset: Dataset,
    recipe: Recipe,
    folder: Path,
    *,
    device: torch.device | None = None,
    show: bool = True,
    process_group: ProcessGroup | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Train into `folder`, or go on where it stopped; returns its result (validation only, no test figure).

    `notes` are said once it is sure that there is work to do: why the recipe is what it is.

    With several processes each calls this; all but the main one return an empty result.
    CheckpointError when the folder belongs to other data or another recipe.
    """
    device, process_group = device or pick_device(), process_group or ProcessGroup()
    check_compute(recipe, device)
    if recipe.train.refit and process_group.size > 1:
        raise ConfigError("train.refit: is for one process; leave it out where several train one model")
    if recipe.retrieval.kind == "approximate":
        import_faiss()  # or the index could not be built when all else is done
    set_threads(recipe.train.threads, process_group.neighbours)
    with ExitStack() as held:
        if not process_group.broadcast(lambda: held.enter_context(claimed(folder, dataset, recipe))):
            return dict(read_json(folder / RESULT)) if process_group.is_main else {}
        check_memory(dataset, recipe, device, process_group.neighbours)
        for note in notes:
            say(note, show=show and process_group.is_main)
        split = make_split(dataset, recipe.train.split, recipe.train.seed)
        masked = masks_history(recipe, split.valid, show=show and process_group.is_main)
        training_split = TrainingSplit.of(dataset, split, exclude_history=masked)
        if not process_group.is_main:
            process_group.broadcast(dict)  # what the leading process prepares is in the folder now
            artifacts = load_prepared(folder, recipe, dataset, device)
            teacher = teacher_of(training_split, recipe, show=False)
            Training(
                folder, artifacts, training_split, device, process_group=process_group, teacher=teacher
            ).run()
            process_group.close()
            return {}
        artifacts, model, result = learn(
            training_split, recipe, folder, device, show=show, process_group=process_group
        )
        weights = {name: FusionWeights(**shares) for name, shares in result["mixtures"].items()}
        answerer = artifacts.answerer(model, weights)
        result["fusion"] = fit_second_stage(folder, answerer, artifacts, training_split, show=show)
        result["refit"] = recipe.train.refit
        if recipe.train.refit:
            artifacts, model = learn_again(folder, training_split, recipe, result, device, show=show)
            answerer = artifacts.answerer(model, weights)
        place = weights_folder(folder, result)
        with_search(place, answerer, recipe.retrieval, dataset.interactions.histories, show=show)
        write_json(folder / RESULT, result)
        for place in (folder, folder / REFIT):
            process_group.forget_state(place)
        return result


def learn(
    training_split: TrainingSplit,
    recipe: Recipe,
    folder: Path,
    device: torch.device,
    *,
    show: bool,
    process_group: ProcessGroup | None = None,
) -> tuple[RunArtifacts, UnimpModel, dict[str, Any]]:
    """Prepare, train, and choose the mixture on validation; state and weights go to `folder`."""
    started, process_group = time.monotonic(), process_group or ProcessGroup()
    artifacts = build_artifacts(training_split, recipe, device=device, show_progress=show)
    num_items = artifacts.vocabulary.num_items
    if samples_items(recipe, num_items, device, show=False):
        artifacts = replace(artifacts, items=map_content(folder, artifacts.items))
    save_artifacts(folder, artifacts)
    teacher = teacher_of(training_split, recipe, show=show)
    process_group.broadcast(dict)
    prepared = time.monotonic() - started
    training = Training(
        folder, artifacts, training_split, device, show=show, process_group=process_group, teacher=teacher
    )
    position = training.run()
    process_group.close()
    # A pretrained backbone is not read a second time.
    model = load_model(folder, artifacts, device, training.judged if artifacts.backbone is not None else None)
    seen = training.validator.cases[0]
    del training
    fitted: dict[str, FittedWeights] = {}
    if len(seen):
        fitted = fit_fusion_weights(
            artifacts.decoder_parts(model),
            seen,
            recipe.structure,
            exclude_history=training_split.exclude_history,
        )
    result = {
        "valid": {
            "score": position.best,
            "users": len(seen),
            "reached": {name: weights.reached for name, weights in fitted.items()},
        },
        "mixtures": {name: weights.fusion_weights.model_dump() for name, weights in fitted.items()},
        "exclude_history": training_split.exclude_history,
        "best_epoch": position.best_epoch,
        "epochs": position.epoch,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "learned_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "processes": process_group.size,
        "seconds": {"preparation": prepared, "training": position.seconds},
        "peak_memory_mib": peak_memory_mib(),
        "device": device_name(device),
        "versions": {name: metadata.version(name) for name in ("unimp", "torch", "numpy", "polars")},
    }
    return artifacts, model, result


def learn_again(
    folder: Path,
    split: TrainingSplit,
    recipe: Recipe,
    result: dict[str, Any],
    device: torch.device,
    *,
    show: bool,
) -> tuple[RunArtifacts, UnimpModel]:
    """A model that also learned from the validation items, for as many epochs as they had chosen.

    Mixtures and the second stage stay: they were fitted on scores of the model that had not seen them. The
    seconds that it takes go into `result`.
    """
    say("learning once more, the validation items among the events (train.refit)", show=show)
    settings = recipe.train.model_copy(update={"epochs": max(1, result["best_epoch"])})
    again, place = recipe.model_copy(update={"train": settings}), folder / REFIT
    place.mkdir(exist_ok=True)
    artifacts, model, found = learn(split_with_validation(split), again, place, device, show=show)
    result["seconds"]["refit"] = sum(found["seconds"].values())
    return artifacts, model


def teacher_of(training_split: TrainingSplit, recipe: Recipe, *, show: bool) -> SoftTargets | None:
    """The recipe's teacher; the cache on disk keeps what it says. ConfigError beside a sampled softmax."""
    if recipe.distillation.share and recipe.objective.softmax == "sampled":
        raise ConfigError(
            "distillation.share: the teacher names items that a sampled softmax counts as drawn; set "
            'objective.softmax = "full", or distillation.share = 0'
        )
    cold_items = recipe.objective.cold_negatives
    return soft_targets(training_split, recipe.distillation, cold_items=cold_items, show=show)


def load_prepared(folder: Path, recipe: Recipe, dataset: Dataset, device: torch.device) -> RunArtifacts:
    """What another process prepared, ready to train on."""
    artifacts = load_artifacts(folder, recipe, dataset, device)
    return replace(artifacts, items=for_training(artifacts.items, artifacts.popularity, recipe, device))
