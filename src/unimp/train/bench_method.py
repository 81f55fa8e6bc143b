"""UniMP as a method of the benchmark: fitted and scored under the same contract as every baseline."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from unimp.answer import MethodTrainingData
from unimp.core.compute import set_threads
from unimp.core.config import Config, merge
from unimp.core.devices import pick_device
from unimp.core.errors import ConfigError
from unimp.core.search_space import Real, SearchSpace, Whole
from unimp.data.histories import FloatArray, Histories
from unimp.inference.retrieval import ModelRanker
from unimp.inference.score_sources import FusionWeights
from unimp.runs.open_run import open_run
from unimp.runs.recipe import Recipe, recipe_of
from unimp.runs.training_split import TrainingSplit
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.train.training_run import learn


class UnimpMethodConfig(Config):
    """A recipe, and what is changed of it."""

    recipe: str = "small"
    """Name of a packaged recipe, or a path to a TOML file."""
    run: str | None = None
    """A finished run folder to judge instead of training one now; it must have learned from the same events
    with the same seed."""
    fusion_weights: bool = False
    """Rank with the mixture that training chose on validation; the benchmark adds its own (`--fusion`)."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Tables laid upon the recipe, such as {"train": {"epochs": 5}}."""

    search_space: ClassVar[SearchSpace] = {
        "settings.train.lr": Real(3e-4, 5e-3, log=True),
        "settings.model.dropout": Real(0.1, 0.7),
        "settings.objective.horizon": Whole(1, 6),
        "settings.objective.horizon_decay": Real(0.3, 1.0),
        "settings.structure.l2": Real(5.0, 1000.0, log=True),
    }

    def resolved(self) -> Recipe:
        """The recipe with the settings upon it."""
        return recipe_of(self.recipe, self.settings)

    def value_at(self, key: str) -> Any:
        """What a `settings.` key comes to: the recipe's own value where nothing is laid upon it."""
        section, _, rest = key.partition(".")
        return self.resolved().value_at(rest) if section == "settings" and rest else super().value_at(key)


class UnimpMethod:
    """Trains in a temporary folder; `score` is the model alone unless its mixture is asked for."""

    config_class: ClassVar[type[Config]] = UnimpMethodConfig

    def __init__(self, config: UnimpMethodConfig) -> None:
        if config.run is not None and config.settings:
            raise ConfigError(
                f"unimp.run {config.run}: a finished run keeps its own settings; leave out run, "
                "or leave out settings and tuning"
            )
        self.config = config
        self.ranker: ModelRanker | None = None
        self.reported_cost: tuple[float, float] | None = None
        """(seconds, MiB) of a training that happened before; None when `fit` trains."""
        self.best_epoch = 0
        """Chosen on validation."""
        self.details: dict[str, Any] = {}
        """The recipe in full and the mixture, for the result file."""

    def recipe(self, seed: int) -> Recipe:
        recipe = self.config.resolved()
        return recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed})})

    def fit(self, data: MethodTrainingData, *, seed: int, show_progress: bool = False) -> None:
        if self.config.run is not None:
            self._open(Path(self.config.run), data, seed)
            return
        recipe = self.recipe(seed)
        set_threads(recipe.train.threads)
        training_split = TrainingSplit(
            data.catalog, None, data.train, data.valid, exclude_history=data.exclude_history
        )
        with tempfile.TemporaryDirectory() as folder:
            artifacts, model, result = learn(
                training_split, recipe, Path(folder), pick_device(), show=show_progress
            )
        self.best_epoch = result["best_epoch"]
        weights_by_task = {name: FusionWeights(**values) for name, values in result["mixtures"].items()}
        self._take(
            artifacts.answerer(model, weights_by_task).decoder(RecommendationTask),
            recipe.model_dump(mode="json"),
            result,
        )

    def refitted(self, data: MethodTrainingData, *, seed: int, show_progress: bool = False) -> UnimpMethod:
        """A fresh one that learned from `data`, which has no validation cases, for as long as this one chose.

        ConfigError of a finished run.
        """
        if self.config.run is not None:
            raise ConfigError(
                f"unimp.run {self.config.run}: a finished run does not learn again; leave it out"
            )
        epochs = {"train": {"epochs": max(1, self.best_epoch)}}
        settings = merge(self.config.settings, epochs)
        again = UnimpMethod(self.config.model_copy(update={"settings": settings}))
        again.fit(data, seed=seed, show_progress=show_progress)
        return again

    def _open(self, folder: Path, data: MethodTrainingData, seed: int) -> None:
        run = open_run(folder)
        if run.artifacts.recipe.train.seed != seed:
            raise ConfigError(
                f"{folder}: was trained with seed {run.artifacts.recipe.train.seed}, not {seed}"
            )
        events = np.bincount(data.train.item_rows, minlength=len(data.catalog))
        if not np.array_equal(events, run.artifacts.popularity):
            raise ConfigError(f"{folder}: learned from other events than this benchmark's training part")
        set_threads(run.artifacts.recipe.train.threads)
        self._take(run.answerer.decoder(RecommendationTask), run.facts["recipe"], run.result)
        self.reported_cost = (sum(run.result["seconds"].values()), run.result["peak_memory_mib"])

    def _take(self, ranker: ModelRanker, recipe: dict[str, Any], result: dict[str, Any]) -> None:
        """Keep the ranker, with its mixture or without."""
        self.ranker = (
            ranker if self.config.fusion_weights else replace(ranker, fusion_weights=FusionWeights())
        )
        self.details = {"recipe": recipe, "mixture": result["mixtures"] if self.config.fusion_weights else {}}

    def score(self, histories: Histories) -> FloatArray:
        assert self.ranker is not None, "fit first"
        return self.ranker.score(histories)
