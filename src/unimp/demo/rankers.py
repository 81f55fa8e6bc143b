"""What the demo compares: nearest neighbours by picture and by text, UniMP with its fusion and without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unimp.answer import MethodTrainingData
from unimp.data.histories import FloatArray, Histories
from unimp.fusion.config import SecondStageConfig
from unimp.fusion.fused import FeaturesOnly, FeaturesOnlyConfig, FusedRanker, FusionMaker
from unimp.fusion.words import word_vectors
from unimp.inference.retrieval import ModelRanker
from unimp.personalizer import Personalizer
from unimp.runs.second_stage import ModelAlone
from unimp.tasks.recommendation.task import RecommendationTask


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


def nearest_by_text(data: MethodTrainingData) -> NearestItems:
    """By TF-IDF of all that is written of the items."""
    words = word_vectors(data.catalog)
    return NearestItems(np.zeros((len(data.catalog), 1), dtype=np.float32) if words is None else words)


def alone(personalizer: Personalizer) -> ModelAlone:
    return ModelAlone(personalizer.answerer.decoder(RecommendationTask))


def fused(personalizer: Personalizer) -> ModelRanker:
    """As the run answers: the model and the relations of items, mixed by what validation teaches."""
    return personalizer.answerer.decoder(RecommendationTask)


def fused_without_model(
    descriptors: FloatArray, data: MethodTrainingData, config: SecondStageConfig
) -> FusedRanker:
    """The same relations by themselves. descriptors: [I, F] of the pictures."""
    maker = FusionMaker(data, pictures=lambda: descriptors)
    return maker.fit(FeaturesOnly(FeaturesOnlyConfig()), config.learned())
