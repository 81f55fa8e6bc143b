"""A run's second stage: fitted once training is over, saved beside the weights, opened with the run."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from unimp.core.errors import CheckpointError
from unimp.data.histories import FloatArray, Histories
from unimp.features.vision.encoder import descriptors
from unimp.fusion.learned import LearnedFusion
from unimp.fusion.pictures import picture_vectors
from unimp.fusion.relation_files import load_relations, save_relations
from unimp.fusion.second_stage import LearnedStage, choose_stage
from unimp.inference.retrieval import ModelRanker
from unimp.runs.answerer import Answerer
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.training_split import TrainingSplit
from unimp.tasks.recommendation.task import RecommendationTask

FOLDER, RELATIONS = "second_stage", "relations.safetensors"


@dataclass(frozen=True)
class ModelAlone:
    """log p(item) of the model, without anything mixed in (satisfies `Ranker`)."""

    ranker: ModelRanker

    def score(self, histories: Histories) -> FloatArray:
        """[U, I]."""
        return self.ranker.log_probabilities(histories)


def fit_second_stage(
    folder: Path, answerer: Answerer, artifacts: RunArtifacts, split: TrainingSplit, *, show: bool
) -> dict[str, Any]:
    """Fit what `[fusion]` of the recipe asks for, save it, and tell what validation said of it."""
    ranker, config = answerer.find(RecommendationTask), artifacts.recipe.fusion
    if ranker is None:
        return {"kind": "closed"}
    closed, pictures = replace(ranker, second_stage=None), partial(picture_rows, artifacts, show=show)
    choice = choose_stage(split, ModelAlone(closed), closed, config, pictures, show=show)
    if choice is None:
        return {"kind": "closed"}
    told: dict[str, Any] = {
        "kind": "closed" if choice.stage is None else "learned",
        "valid NDCG@5": {"closed": round(choice.closed, 6), "learned": round(choice.learned, 6)},
    }
    if choice.stage is not None:
        save(folder / FOLDER, choice.stage)
        told["reached"] = asdict(choice.stage.learned.reached)
    return told


def save(folder: Path, stage: LearnedStage) -> None:
    """Weights, trees and relations; CheckpointError when they cannot be written."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        stage.learned.save(folder)
    except OSError as error:
        reason = error.strerror or "disk full"
        raise CheckpointError(f"{folder}: cannot be written ({reason}); free some space and resume") from None
    save_relations(folder / RELATIONS, stage.features.relations)


def saved_second_stage(folder: Path, num_items: int, *, exclude_history: bool) -> LearnedStage | None:
    """The run's own, whose relations are read when first needed; None where the closed weights serve."""
    place = folder / FOLDER
    if not place.is_dir():
        return None
    count = partial(load_relations, place / RELATIONS)
    return LearnedStage(LearnedFusion.load(place), num_items, exclude_history, count)


def picture_rows(artifacts: RunArtifacts, *, show: bool = False) -> FloatArray | None:
    """[I, F] unit rows of the items' pictures, zeros without one; None for a run that reads no pictures.

    By the run's own encoder where it describes pictures whole, else by statistics of their pixels.
    """
    visual, shown, vision = artifacts.items.visual_IVE, artifacts.items.has_picture_I, artifacts.vision
    if vision is None:
        return None
    if vision.describes and visual is not None and shown is not None:
        return descriptors(visual, shown)
    return picture_vectors(artifacts.context.catalog, show=show)
