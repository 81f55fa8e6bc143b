"""One checkpoint for six tasks, from a shop to answers: exact after save and load, exact after a kill."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.six import six_recipe
from unimp.core.compute import set_threads
from unimp.core.files import read_tensors, write_json
from unimp.data.dataset import Dataset
from unimp.data.histories import Cases
from unimp.data.splits import leave_one_out
from unimp.inference.score_sources import FusionWeights
from unimp.model.unimp import UnimpModel
from unimp.runs.answerer import Answerer
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.folder import RESULT, claim
from unimp.runs.open_run import open_run
from unimp.runs.training_split import TrainingSplit
from unimp.tasks import TASKS
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection.task import SelectionTask
from unimp.train import trainer
from unimp.train.training_run import learn, train

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Learned:
    """A run in its folder, and the model as it was when its training ended."""

    folder: Path
    artifacts: RunArtifacts
    model: UnimpModel
    result: dict[str, Any]
    test: Cases

    @property
    def answerer(self) -> Answerer:
        weights_by_task = {name: FusionWeights(**values) for name, values in self.result["mixtures"].items()}
        return self.artifacts.answerer(self.model, weights_by_task)


@pytest.fixture(scope="module")
def learned(six_dataset: Dataset, six_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    folder = tmp_path_factory.mktemp("learned") / "run"
    folder.mkdir()
    split = leave_one_out(six_dataset.interactions.histories, len(six_dataset.catalog))
    recipe = six_recipe(train={"checkpoint_seconds": 1e-9})
    set_threads(recipe.train.threads)  # as `train` does: sums of several threads round otherwise
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNIMP_CACHE", str(six_cache))
        assert claim(folder, six_dataset, recipe)
        artifacts, model, result = learn(
            TrainingSplit.of(six_dataset, split), recipe, folder, CPU, show=False
        )
    write_json(folder / RESULT, result)
    return Learned(folder, artifacts, model, result, split.test.select(np.arange(0, 60, 7)))


def answers(answerer: Answerer, artifacts: RunArtifacts, cases: Cases) -> dict[str, list[Any]]:
    """What is said to every case, task by task."""
    tasks: dict[str, Any] = {task.name: task for task in artifacts.tasks}
    histories, rows = cases.histories, cases.target_rows
    queries = [posed.query for posed in tasks["search"].queries(cases)]
    choices = tasks["selection"].choices(cases)
    said = answerer.decoder(ExplanationTask).explain(histories, rows)
    chosen = answerer.decoder(SelectionTask).select(histories, choices.candidates, [0] * len(rows))
    return {
        "recommendation": answerer.decoder(RecommendationTask).score(histories).tolist(),
        "search": answerer.decoder(SearchTask).search(histories, queries).tolist(),
        "rating": answerer.decoder(RatingTask).distribution(histories, rows).tolist(),
        "explanation": [(one.text, one.rating) for one in said],
        "selection": [places.tolist() for places in chosen],
        "imagination": answerer.decoder(ImageGenerationTask)
        .imagine(histories, tasks["imagination"].guidance(cases), 3)
        .tolist(),
    }


def test_an_opened_run_gives_the_same_answers_to_every_task(learned: Learned) -> None:
    opened = open_run(learned.folder, device="cpu")
    before = answers(learned.answerer, learned.artifacts, learned.test)
    after = answers(opened.answerer, opened.artifacts, learned.test)
    assert list(before) == opened.answerer.tasks
    for name in TASKS:
        assert before[name] == after[name], name


def test_a_run_answers_where_the_cache_is_gone(
    learned: Learned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that was learned of pictures lies in the run's own folder."""
    monkeypatch.setenv("UNIMP_CACHE", str(tmp_path / "nothing"))
    opened = open_run(learned.folder, device="cpu")
    guidance = opened.artifacts.tasks[-1].guidance(learned.test)  # type: ignore[attr-defined]
    assert opened.answerer.decoder(ImageGenerationTask).imagine(
        learned.test.histories, guidance, 0
    ).shape == (9, 16, 16, 3)
    assert not (tmp_path / "nothing").exists()


def test_every_task_is_learned_and_watched(learned: Learned) -> None:
    first, *_, last = [json.loads(line) for line in (learned.folder / "log.jsonl").read_text().splitlines()]
    trained = {name.split("/")[0] for name in first["components"]}
    watched = {name.split("/")[0] for name in first["valid"]}
    assert trained == watched == set(TASKS)
    assert last["loss"] < first["loss"]
    for part in ("recommendation/item", "search/item", "explanation/word", "imagination/code"):
        assert last["components"][part] < first["components"][part]
    assert set(learned.result["mixtures"]) == {"recommendation", "search", "rating", "selection"}


class Killed(Exception):
    """Stands for a kill: nothing after it runs."""


def test_resume_of_all_tasks_equals_an_uninterrupted_run(
    learned: Learned,
    six_dataset: Dataset,
    six_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed within the first epoch and again within the second; the state is written after every step."""
    monkeypatch.setenv("UNIMP_CACHE", str(six_cache))
    recipe = six_recipe(train={"checkpoint_seconds": 1e-9})
    original, steps = trainer.Training._step, 0

    def dying_step(self: trainer.Training, planned: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps in {7, 50}:
            raise Killed
        return original(self, planned)

    monkeypatch.setattr(trainer.Training, "_step", dying_step)
    for _ in range(2):
        with pytest.raises(Killed):
            train(six_dataset, recipe, tmp_path / "run", device=CPU, show=False)
    monkeypatch.setattr(trainer.Training, "_step", original)
    result = train(six_dataset, recipe, tmp_path / "run", device=CPU, show=False)
    whole, _ = read_tensors(learned.folder / "model.safetensors")
    parts, _ = read_tensors(tmp_path / "run" / "model.safetensors")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert result["mixtures"] == learned.result["mixtures"]
    assert log_of(learned.folder) == log_of(tmp_path / "run")


def log_of(folder: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
