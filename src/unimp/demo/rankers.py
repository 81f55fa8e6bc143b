"""What the demo compares: nearest neighbours by picture and by text, UniMP with its fusion and without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unimp.answer import MethodTrainingData
from unimp.data.histories import FloatArray, Histories
from unimp.fusion.config import FusionConfig
from unimp.fusion.fused import FeaturesOnly, FeaturesOnlyConfig, FusedRanker, FusionMaker
from unimp.fusion.words import word_vectors
from unimp.inference.retrieval import ModelRanker
from unimp.personalizer import Personalizer
from unimp.runs.artifacts import RunArtifacts
from unimp.tasks.recommendation.task import RecommendationTask

FUSION = FusionConfig(kind="learned", personal=True, refit=False)
"""Chosen on validation: fitted on half of its users and judged on the other half, relations that were counted
again on the first half's targets did worse, because most items are new."""


@dataclass(frozen=True)
class NearestItems:
    """Mean cosine of an item to those of the history that have a vector (satisfies `Ranker`)."""

    vectors: Any
    """[I, F] unit rows, plain or CSR; zeros where nothing is known."""

    def score(self, histories: Histories) -> FloatArray:
        """[U, I]; zeros for a user without a known item."""
        scores = np.zeros((len(histories), self.vectors.shape[0]), dtype=np.float32)
        for user in range(len(histories)):
            rows = self.vectors[histories.items_of(user)]
            mean = np.asarray(rows.sum(axis=0)).ravel() / max(rows.shape[0], 1)
            scores[user] = self.vectors @ mean
        return scores


@dataclass(frozen=True)
class ModelAlone:
    """log p(item) of the model, without anything mixed in (satisfies `Ranker`)."""

    ranker: ModelRanker

    def score(self, histories: Histories) -> FloatArray:
        """[U, I]."""
        return self.ranker.log_probabilities(histories)


def picture_descriptors(artifacts: RunArtifacts) -> FloatArray | None:
    """[I, F] unit rows by the run's own picture encoder, zeros without a picture; None where it has none."""
    visual, shown, vision = artifacts.items.visual_IVE, artifacts.items.has_picture_I, artifacts.vision
    if vision is None or not vision.describes or visual is None or shown is None:
        return None
    found: FloatArray = (visual[:, 0].float() * shown[:, None]).cpu().numpy()
    return found


def nearest_by_text(data: MethodTrainingData) -> NearestItems:
    """By TF-IDF of all that is written of the items."""
    words = word_vectors(data.catalog)
    return NearestItems(np.zeros((len(data.catalog), 1), dtype=np.float32) if words is None else words)


def alone(personalizer: Personalizer) -> ModelAlone:
    return ModelAlone(personalizer.answerer.decoder(RecommendationTask))


def fused(personalizer: Personalizer, data: MethodTrainingData) -> FusedRanker:
    """The model and the relations of items, mixed by what validation teaches: pictures only where it sees."""
    descriptors = picture_descriptors(personalizer.run.artifacts)
    return FusionMaker(data, pictures=lambda: descriptors).fit(alone(personalizer), FUSION)


def fused_without_model(descriptors: FloatArray, data: MethodTrainingData) -> FusedRanker:
    """The same relations by themselves. descriptors: [I, F] of the pictures."""
    only = FeaturesOnly(FeaturesOnlyConfig())
    return FusionMaker(data, pictures=lambda: descriptors).fit(only, FUSION)
