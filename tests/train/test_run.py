"""Training into a folder: exact save and load, exact resume, and errors that name the remedy."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import unimp
from tests.train.conftest import tiny_recipe
from unimp.baselines.baseline import TrainingData
from unimp.core.errors import CheckpointError, ConfigError, DataError
from unimp.core.files import read_tensors
from unimp.data.dataset import Dataset
from unimp.data.splits import leave_one_out, new_users
from unimp.evaluate.evaluation import evaluate_run
from unimp.metrics.ranking import rank_cases, ranking_metrics
from unimp.runs.open_run import open_run
from unimp.runs.recipe import load_recipe, recipe_names
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.train import trainer
from unimp.train.bench_method import UnimpMethod, UnimpMethodConfig
from unimp.train.training_run import train


class Killed(Exception):
    """Stands for a kill: nothing after it runs."""


@pytest.fixture
def run_folder(tiny_dataset: Dataset, tmp_path: Path) -> Path:
    train(tiny_dataset, tiny_recipe(), tmp_path / "run", show=False)
    return tmp_path / "run"


def test_it_learns_the_ring(tiny_dataset: Dataset, tmp_path: Path) -> None:
    recipe = tiny_recipe(train={"epochs": 40, "patience": 40}, structure={"kind": "none"})
    train(tiny_dataset, recipe, tmp_path / "run", show=False)
    report = evaluate_run(open_run(tmp_path / "run"), show=False, ranks_file=tmp_path / "ranks.parquet")
    score = report["tasks"]["recommendation"]
    assert score["cases"] == 60
    assert score["metrics"]["HR@3"] > 0.9
    import polars as pl

    ranks = pl.read_parquet(tmp_path / "ranks.parquet")
    assert ranks.columns == ["user_id", "item_id", "rank"]
    assert ranking_metrics(ranks["rank"].to_numpy()) == score["metrics"]


@pytest.mark.parametrize(
    ("kill_at", "trainable", "average"), [(1, False, 0.9), (5, True, 0.0), (5, False, 0.9), (9, True, 0.9)]
)
def test_resume_after_a_kill_equals_an_uninterrupted_run(
    tiny_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill_at: int,
    trainable: bool,
    average: float,
) -> None:
    training = {"epochs": 3, "checkpoint_seconds": 1e-9, "average": average}
    recipe = tiny_recipe(train=training, vision={"trainable": trainable})
    train(tiny_dataset, recipe, tmp_path / "whole", show=False)
    original = trainer.Training._step
    steps = 0

    def dying_step(self: trainer.Training, batch: object) -> object:
        nonlocal steps
        steps += 1
        if steps == kill_at:
            raise Killed
        return original(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer.Training, "_step", dying_step)
    with pytest.raises(Killed):
        train(tiny_dataset, recipe, tmp_path / "parts", show=False)
    monkeypatch.setattr(trainer.Training, "_step", original)
    train(tiny_dataset, recipe, tmp_path / "parts", show=False)
    whole, _ = read_tensors(tmp_path / "whole" / "model.safetensors")
    parts, _ = read_tensors(tmp_path / "parts" / "model.safetensors")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "parts")


def log_of(folder: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_opened_run_scores_as_the_trained_one(run_folder: Path, tiny_dataset: Dataset) -> None:
    first, second = open_run(run_folder), open_run(run_folder)
    cases = leave_one_out(tiny_dataset.interactions.histories, len(tiny_dataset.catalog)).valid
    scores = [r.answerer.decoder(RecommendationTask).score(cases.histories) for r in (first, second)]
    assert np.array_equal(scores[0], scores[1])
    alone = first.artifacts.answerer(first.model).decoder(RecommendationTask)
    reached = ranking_metrics(rank_cases(alone, cases))["NDCG@5"]
    assert reached == pytest.approx(
        first.result["valid"]["reached"]["recommendation"]["model alone"], abs=1e-6
    )


@pytest.mark.parametrize("attributes", ["words", "values"])
def test_attributes_and_ratings_in_the_sentence(
    tiny_dataset: Dataset, tmp_path: Path, attributes: str
) -> None:
    """Both ways of writing attributes train, with context reconstruction, and every component is logged."""
    recipe = tiny_recipe(
        sentence={
            "fields": ["title", "brand"],
            "attributes": attributes,
            "ratings": True,
            "show_missing": True,
        },
        objective={"attribute": 0.5, "rating": 0.3, "gamma": 2.0},
        train={"epochs": 6, "patience": 6, "batch_positions": 256},
    )
    train(tiny_dataset, recipe, tmp_path / "run", show=False)
    rows = log_of(tmp_path / "run")
    first, last = rows[0]["components"], rows[-1]["components"]
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    item, attribute, rating = (
        f"recommendation/{part}" for part in ("item", "context attribute", "context rating")
    )
    assert first.keys() == {item, attribute, rating}
    assert last[item] < first[item]
    assert last[attribute] < first[attribute]
    answer = unimp.load(tmp_path / "run").recommend(["i03", "i00"])
    assert len(answer.items) == 10


def test_a_finished_run_is_not_trained_again(run_folder: Path, tiny_dataset: Dataset) -> None:
    before = (run_folder / "model.safetensors").stat().st_mtime_ns
    train(tiny_dataset, tiny_recipe(), run_folder, show=False)
    assert (run_folder / "model.safetensors").stat().st_mtime_ns == before


def test_a_user_does_not_move_another(run_folder: Path, tiny_dataset: Dataset) -> None:
    personalizer = unimp.load(run_folder)
    histories = tiny_dataset.interactions.histories
    together = personalizer.score(histories)
    alone = np.concatenate([personalizer.score(histories.select([user])) for user in range(len(histories))])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_recommend(run_folder: Path) -> None:
    personalizer = unimp.load(run_folder)
    answer = personalizer.recommend(["i05", "i06"], k=4)
    assert len(answer.items) == 4
    assert {"i05", "i06"}.isdisjoint(item.item_id for item in answer.items)
    assert [item.score for item in answer.items] == sorted((i.score for i in answer.items), reverse=True)
    assert answer.items[0].title.startswith("thing number")
    cold = personalizer.recommend([], k=100)
    assert cold.cold_start
    assert len(cold.items) == 20
    assert personalizer.recommend(k=100) == cold
    known = personalizer.recommend(user="u003")
    assert set(known.history).isdisjoint(item.item_id for item in known.items)


def test_recommend_names_what_is_wrong(run_folder: Path) -> None:
    personalizer = unimp.load(run_folder)
    with pytest.raises(DataError, match='unknown item "i99"'):
        personalizer.recommend(["i99"])
    with pytest.raises(DataError, match='unknown user "nobody"'):
        personalizer.recommend(user="nobody")
    with pytest.raises(ConfigError, match="either a user or a history, not both"):
        personalizer.recommend(["i01"], user="u001")
    with pytest.raises(ConfigError, match="at least 1"):
        personalizer.recommend([], k=0)


def test_damaged_checkpoints_are_named(run_folder: Path) -> None:
    model = run_folder / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged"):
        open_run(run_folder)
    model.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    with pytest.raises(CheckpointError, match="does not match its hash"):
        open_run(run_folder)
    model.unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        open_run(run_folder)


def test_unfinished_and_foreign_folders_are_named(
    run_folder: Path, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    other = replace(
        tiny_dataset, manifest=tiny_dataset.manifest.model_copy(update={"sha256": {"items.parquet": "x"}})
    )
    with pytest.raises(CheckpointError, match="trained on other data"):
        train(other, tiny_recipe(), run_folder, show=False)
    with pytest.raises(CheckpointError, match=r"another recipe \(train.lr: 0.005, now 0.1\)"):
        train(tiny_dataset, tiny_recipe(train={"lr": 0.1}), run_folder, show=False)
    (run_folder / "result.json").unlink()
    with pytest.raises(CheckpointError, match="not finished"):
        open_run(run_folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(CheckpointError, match="not a run folder"):
        train(tiny_dataset, tiny_recipe(), tmp_path / "mine", show=False)


def test_a_finished_run_can_be_judged_by_the_benchmark(run_folder: Path, tiny_dataset: Dataset) -> None:
    split = leave_one_out(tiny_dataset.interactions.histories, len(tiny_dataset.catalog))
    method = UnimpMethod(UnimpMethodConfig(run=str(run_folder), fusion_weights=True))
    method.fit(TrainingData.of(split, tiny_dataset.catalog), seed=0)
    opened = open_run(run_folder)
    expected = opened.answerer.decoder(RecommendationTask).score(split.test.histories)
    assert np.array_equal(method.score(split.test.histories), expected)
    assert method.reported_cost is not None
    alone = UnimpMethod(UnimpMethodConfig(run=str(run_folder)))
    alone.fit(TrainingData.of(split, tiny_dataset.catalog), seed=0)
    bare = opened.answerer.decoder(RecommendationTask).log_probabilities(split.test.histories)
    assert np.array_equal(alone.score(split.test.histories), bare)
    assert alone.details["mixture"] == {}
    other = new_users(tiny_dataset.interactions.histories, len(tiny_dataset.catalog))
    with pytest.raises(ConfigError, match="learned from other events"):
        method.fit(TrainingData.of(other, tiny_dataset.catalog), seed=0)
    with pytest.raises(ConfigError, match="trained with seed 0, not 1"):
        method.fit(TrainingData.of(split, tiny_dataset.catalog), seed=1)


def test_changed_data_is_refused_at_load(run_folder: Path, tiny_dataset: Dataset) -> None:
    manifest = tiny_dataset.folder / "data.json"
    document = json.loads(manifest.read_text())
    document["sha256"]["items.parquet"] = "0" * 64
    manifest.write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="--data"):
        open_run(run_folder)
    shutil.rmtree(tiny_dataset.folder)
    with pytest.raises(DataError, match="no such data folder"):
        open_run(run_folder)


def test_recipes_parse_and_wrong_keys_say_what_was_meant() -> None:
    for name in recipe_names():
        assert load_recipe(name).name == name
    with pytest.raises(ConfigError, match=r"unknown key 'train.learning_rat'"):
        load_recipe("small", ["train.learning_rat=1"])
    with pytest.raises(ConfigError, match='did you mean "epochs"'):
        load_recipe("small", ["train.epoch=1"])
    with pytest.raises(ConfigError, match=r"unknown recipe 'smal'; did you mean \"small\""):
        load_recipe("smal")
    with pytest.raises(ConfigError, match="expected key=value"):
        load_recipe("small", ["train.epochs"])
    with pytest.raises(ConfigError, match=r"train.epochs: .*got 'many'"):
        load_recipe("small", ["train.epochs=many"])
    assert load_recipe("small", ["train.lr=5e-4"]).train.lr == 5e-4
