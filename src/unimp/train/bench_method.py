"""UniMP as a method of the benchmark: fitted and scored under the same contract as every baseline."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from pydantic import Field

from unimp.core.compute import pick_device, set_threads
from unimp.core.config import Config, merge
from unimp.core.errors import ConfigError
from unimp.core.search_space import Real, SearchSpace, Whole
from unimp.data.catalog import Catalog
from unimp.data.histories import Cases, FloatArray, Histories
from unimp.inference.retrieval import ModelRanker
from unimp.inference.score_sources import FusionWeights
from unimp.runs.open_run import open_run
from unimp.runs.recipe import Recipe, read_recipe
from unimp.runs.training_split import TrainingSplit
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.train.training_run import learn


class BenchTrainingData(Protocol):
    """The part of the benchmark's training data that UniMP uses."""

    @property
    def train(self) -> Histories: ...
    @property
    def valid(self) -> Cases: ...
    @property
    def catalog(self) -> Catalog: ...


class UnimpMethodConfig(Config):
    """A recipe, and what is changed of it."""

    recipe: str = "small"
    """Name of a packaged recipe, or a path to a TOML file."""
    run: str | None = None
    """A finished run folder to judge instead of training one now; it must have learned from the same events
    with the same seed."""
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
        return Recipe.parse(merge(read_recipe(self.recipe), self.settings), f"recipe {self.recipe}")

    def value_at(self, key: str) -> Any:
        """What a `settings.` key comes to: the recipe's own value where nothing is laid upon it."""
        section, _, rest = key.partition(".")
        return self.resolved().value_at(rest) if section == "settings" and rest else super().value_at(key)


class UnimpMethod:
    """Trains in a temporary folder; `score` ranks with the mixture chosen on validation."""

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
        self.details: dict[str, Any] = {}
        """The recipe in full and the mixture, for the result file."""

    def recipe(self, seed: int) -> Recipe:
        recipe = self.config.resolved()
        return recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed})})

    def fit(self, data: BenchTrainingData, *, seed: int, show_progress: bool = False) -> None:
        if self.config.run is not None:
            self._open(Path(self.config.run), data, seed)
            return
        recipe = self.recipe(seed)
        set_threads(recipe.train.threads)
        training_split = TrainingSplit(data.catalog, None, data.train, data.valid)
        with tempfile.TemporaryDirectory() as folder:
            artifacts, model, result = learn(
                training_split, recipe, Path(folder), pick_device(), show=show_progress
            )
        weights_by_task = {name: FusionWeights(**values) for name, values in result["mixtures"].items()}
        self.ranker = artifacts.answerer(model, weights_by_task).decoder(RecommendationTask)
        self.details = {"recipe": recipe.model_dump(mode="json"), "mixture": result["mixtures"]}

    def _open(self, folder: Path, data: BenchTrainingData, seed: int) -> None:
        run = open_run(folder)
        if run.artifacts.recipe.train.seed != seed:
            raise ConfigError(
                f"{folder}: was trained with seed {run.artifacts.recipe.train.seed}, not {seed}"
            )
        events = np.bincount(data.train.item_rows, minlength=len(data.catalog))
        if not np.array_equal(events, run.artifacts.popularity):
            raise ConfigError(f"{folder}: learned from other events than this benchmark's training part")
        set_threads(run.artifacts.recipe.train.threads)
        self.ranker = run.answerer.decoder(RecommendationTask)
        self.details = {"recipe": run.facts["recipe"], "mixture": run.result["mixtures"]}
        self.reported_cost = (sum(run.result["seconds"].values()), run.result["peak_memory_mib"])

    def score(self, histories: Histories) -> FloatArray:
        assert self.ranker is not None, "fit first"
        return self.ranker.score(histories)
