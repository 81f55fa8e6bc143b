"""A whole run on a language model: trained, stopped and resumed, opened again, asked for every task."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.model.backbones.families import model_folder
from tests.six import six_recipe
from unimp import load
from unimp.core.errors import CheckpointError, ConfigError
from unimp.core.files import read_tensors
from unimp.data.dataset import Dataset
from unimp.data.histories import Histories
from unimp.inference.prefix_cache import PrefixCache
from unimp.runs.recipe import Recipe
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.train.trainer import Training
from unimp.train.training_run import train

BEGUN = {"items.identity.weight", "tokens.added"}


def recipe_for(folder: Path, learning: str = "frozen", **tables: Any) -> Recipe:
    return six_recipe(
        sentence={"attributes": "words", "fields": ["category"], "max_items": 6},
        backbone={"name": str(folder), "train": learning, "precision": "float32"},
        model={"heads": 2, "cross_attention_width": 16, "dropout": 0.0, "input_dropout": 0.0},
        **{"train": {"epochs": 1, "max_steps": 6, "valid_users": 4}, **tables},
    )


@pytest.fixture(scope="module")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("llama"), max_position_embeddings=256)


@pytest.fixture
def cache(six_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIMP_CACHE", str(six_cache))
    return six_cache


@pytest.fixture(scope="module")
def run(
    tiny_lm: Path,
    six_dataset: Dataset,
    six_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Six tasks with low-rank adapters."""
    folder = tmp_path_factory.mktemp("run") / "lora"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNIMP_CACHE", str(six_cache))
        train(six_dataset, recipe_for(tiny_lm, "lora"), folder, show=False)
    return folder


def test_one_checkpoint_answers_all_six_tasks(run: Path, six_dataset: Dataset) -> None:
    ids = six_dataset.catalog.item_ids
    shop = load(run)
    history = list(ids[:3])
    assert len(shop.recommend(history, k=5).items) == 5
    assert len(shop.search("blue lamp", history=history, k=5).items) == 5
    assert 1 <= shop.rate(ids[9], history=history).mean <= 5
    assert shop.explain(ids[9], history=history).rating > 0
    assert len(shop.select(list(ids[5:9]), history=history).chosen) == 1
    assert len(shop.imagine("mug", history=history).pictures) == 1


def test_a_history_read_before_is_read_on(run: Path, six_dataset: Dataset) -> None:
    ranker = load(run).answerer.decoder(RecommendationTask)
    assert ranker is not None
    cache = PrefixCache(10**8)
    warm = replace(ranker, cache=cache)
    histories = six_dataset.interactions.histories.select(np.array([0, 1, 2]))
    for lengths in ([1, 3, 2], [2, 3, 4], [4, 4, 4]):
        rows = [histories.items_of(user)[:length] for user, length in enumerate(lengths)]
        begun = Histories.from_lists([row.tolist() for row in rows], ["a", "b", "c"])
        np.testing.assert_allclose(warm.score(begun), ranker.score(begun), rtol=1e-3, atol=1e-3)
    assert cache.outcomes == {"hit": 2, "extended": 4, "miss": 3}


def test_a_run_holds_what_learned_and_not_the_language_model(run: Path) -> None:
    tensors, facts = read_tensors(run / "model.safetensors")
    assert not [
        name for name in tensors if name.endswith(("base_layer.weight", "norm.weight")) and "body" in name
    ]
    assert set(tensors) >= BEGUN
    assert any(".lora_A." in name for name in tensors)
    assert facts["backbone"]
    result = json.loads((run / "result.json").read_text())
    assert 0 < result["learned_parameters"] < result["parameters"]


@pytest.mark.parametrize("learning", ["frozen", "lora", "full"])
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(
    learning: str, tiny_lm: Path, six_dataset: Dataset, cache: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    recipe = recipe_for(tiny_lm, learning, tasks=("recommendation",), image_tokenizer={"enabled": False})
    train(six_dataset, recipe, tmp_path / "whole", show=False)
    step = Training._step

    def killed(self: Training, planned: Any) -> Any:
        if self.position.step == 3:
            self._save()
            raise KeyboardInterrupt
        return step(self, planned)

    monkeypatch.setattr(Training, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(six_dataset, recipe, tmp_path / "killed", show=False)
    monkeypatch.setattr(Training, "_step", step)
    train(six_dataset, recipe, tmp_path / "killed", show=False)
    whole, killed_ = (read_tensors(tmp_path / name / "model.safetensors")[0] for name in ("whole", "killed"))
    assert set(whole) == set(killed_)
    for name, tensor in whole.items():
        assert torch.equal(tensor, killed_[name]), name
    history = list(six_dataset.catalog.item_ids[:3])
    answers = [load(tmp_path / name).recommend(history, k=9) for name in ("whole", "killed")]
    assert answers[0] == answers[1]


def test_every_part_that_should_learn_does(
    tiny_lm: Path, six_dataset: Dataset, cache: Path, tmp_path: Path
) -> None:
    """Rows that were added, items, cross-attention, the model's own weights."""
    recipe = recipe_for(tiny_lm, "full", tasks=("recommendation", "rating"))
    seen: list[dict[str, torch.Tensor]] = []

    class Watched(Training):
        def run(self) -> Any:
            seen.append({n: p.detach().clone() for n, p in self.model.named_parameters()})
            position = super().run()
            seen.append({n: p.detach().clone() for n, p in self.model.named_parameters()})
            return position

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unimp.train.training_run.Training", Watched)
        train(six_dataset, recipe, tmp_path / "run", show=False)
    before, after = seen
    still = {name for name, tensor in before.items() if torch.equal(tensor, after[name])}
    assert still == {"likeness.query_bonus"}  # no query stands in these sentences
    moved = {name: float((after[name] - tensor).abs().max()) for name, tensor in before.items()}
    assert moved["decoder.body.layers.0.mlp.up_proj.weight"] < moved["items.identity.weight"] / 3  # lr_share


def test_a_backbone_that_is_gone_or_another_is_said_to_be(
    tiny_lm: Path, six_dataset: Dataset, cache: Path, tmp_path: Path
) -> None:
    lm = tmp_path / "lm"
    shutil.copytree(tiny_lm, lm)
    recipe = recipe_for(lm, tasks=("recommendation",), image_tokenizer={"enabled": False})
    folder = tmp_path / "run"
    train(six_dataset, recipe, folder, show=False)
    assert load(folder).recommend(list(six_dataset.catalog.item_ids[:2])).items
    shutil.rmtree(lm)
    with pytest.raises(CheckpointError, match="stands on a backbone that is gone"):
        load(folder)
    model_folder(lm, seed=5, max_position_embeddings=256)
    with pytest.raises(CheckpointError, match=r"was trained on a backbone of hash .* now has hash"):
        load(folder)


def test_weights_of_another_vocabulary_are_refused(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(run, other)
    vocabulary = json.loads((other / "vocabulary.json").read_text())
    vocabulary["item_ids"] = vocabulary["item_ids"][::-1]
    (other / "vocabulary.json").write_text(json.dumps(vocabulary))
    with pytest.raises(CheckpointError, match="was trained with vocabulary"):
        load(other)


def test_an_unknown_module_for_adapters_names_the_known_ones(
    tiny_lm: Path, six_dataset: Dataset, cache: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(
        tiny_lm,
        "lora",
        tasks=("recommendation",),
        image_tokenizer={"enabled": False},
        lora={"modules": ["q_prj"]},
    )
    with pytest.raises(ConfigError, match=r"no linear layer 'q_prj'; it has down_proj, .*q_proj, up_proj"):
        train(six_dataset, recipe, tmp_path / "run", show=False)


def test_too_large_a_step_names_what_makes_it_smaller(
    tiny_lm: Path, six_dataset: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("unimp.train.step.read", full)
    recipe = recipe_for(tiny_lm, tasks=("recommendation",), image_tokenizer={"enabled": False})
    with pytest.raises(
        ConfigError, match=r"lower train.batch_positions or sentence.max_items \(6\)"
    ) as failure:
        train(six_dataset, recipe, tmp_path / "run", show=False)
    assert "gradient_checkpointing" in str(failure.value)
    assert np.char.count(str(failure.value), "\n") == 0
