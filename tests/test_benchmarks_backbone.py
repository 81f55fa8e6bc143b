"""`benchmarks/speed/backbone.py`: the official way computes what ours does, operations are counted right."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.six import Six, prepare, six_recipe
from unimp.data.dataset import Dataset
from unimp.inference.forward import last_hidden, read
from unimp.sentence.batch import collate
from unimp.tasks.recommendation.task import RecommendationTask

ALONE: dict[str, Any] = {
    "tasks": ("recommendation",),
    "image_tokenizer": {"enabled": False},
    "vision": {"kind": "grid"},
    "model": {"likeness": 0},
}


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch, six_cache: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks" / "speed"))
    monkeypatch.setattr(import_module("measure"), "LEAST_SECONDS", 0.0)
    monkeypatch.setenv("UNIMP_CACHE", str(six_cache))


@pytest.fixture
def shop(benchmarks: None, six_dataset: Dataset) -> Six:
    return prepare(six_dataset, **ALONE)


def official_way(shop: Six) -> Any:
    meter = import_module("measure").Meter(torch.device("cpu"))
    return import_module("official").OfficialWay(
        shop.artifacts, shop.model(), shop.task("recommendation"), meter
    )


def test_the_official_loss_is_that_of_the_last_item_whether_pictures_are_kept_or_read_again(
    shop: Six,
) -> None:
    official, train, vocabulary = official_way(shop), shop.split.train, shop.artifacts.vocabulary
    model = official.model
    events = [(0, 1), (0, 2), (1, 2), (2, 1)]
    sentences = [official.sentence(train, user, event) for user, event in events]
    targets = [int(train.items_of(user)[event]) for user, event in events]
    batch, state = collate(sentences), model.item_state(shop.artifacts.items)
    hidden_ND = read(model, state, batch)[torch.arange(4), batch.lengths - 2]
    words = model.token_logits(hidden_ND, 0, vocabulary.num_tokens)
    logits = torch.cat((words, model.item_logits(hidden_ND, state.table_ID)), dim=1)
    wanted = torch.nn.functional.cross_entropy(logits, torch.tensor(targets) + vocabulary.num_tokens)
    assert float(official.loss(sentences, state).detach()) == pytest.approx(
        float(wanted.detach()), rel=2e-3
    )  # kept as fp16
    assert official.seconds["pictures encoded"] > 0


def test_the_best_beam_begins_with_what_is_likeliest(shop: Six) -> None:
    official, histories = official_way(shop), shop.split.test.histories.slice(0, 1)
    model = official.model
    with torch.inference_mode():
        state = model.item_state(shop.artifacts.items)
        question = official.task.question(histories.last(5), 0)
        hidden_ND = last_hidden(model, state, [shop.artifacts.encoder.encode(question)])
        first = shop.artifacts.vocabulary.num_tokens
        logits = official.logits(hidden_ND, state)[0]
        model.scale.mul_(50.0)  # items above all words
        said = official.recommend(histories, state)
        model.scale.div_(-50.0)  # the likeliest become the least likely
        none = official.recommend(histories, state)
    assert said.dropped == 0
    assert said.items
    assert int(logits[first:].argmax()) in said.items
    assert none.items != said.items


def test_operations_are_those_that_torch_counts(shop: Six) -> None:
    flops, model, ranker = import_module("flops"), shop.model(), shop.answerer.decoder(RecommendationTask)
    assert ranker is not None
    histories = shop.split.test.histories.slice(0, 1)
    sentence = shop.artifacts.encoder.encode(ranker.task.question(histories, 0))
    state = model.item_state(shop.artifacts.items)
    plain = sdpa_kernel(SDPBackend.MATH)  # torch does not count in the fused kernel
    with plain, FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.item_logits(last_hidden(model, state, [sentence]), state.table_ID)
    work = flops.ranking_work(model, collate([sentence]), shop.artifacts.items)
    length = len(sentence)
    whole = work.total + work.attention * (2 * length / (length + 1) - 1)  # torch counts what causality hides
    assert counter.get_total_flops() == pytest.approx(whole)


@pytest.mark.parametrize("kind", ["compact", "backbone"])
def test_every_figure_is_there(kind: str, six_dataset: Dataset, tmp_path: Path) -> None:
    tables = dict(ALONE)
    if kind == "backbone":
        pytest.importorskip("peft", reason="needs the extra `pretrained`: make test-pretrained")
        families = import_module("tests.model.backbones.families")
        folder = families.model_folder(tmp_path / "lm", max_position_embeddings=512)
        tables["sentence"] = {"attributes": "words", "fields": ["category"], "max_items": 6}
        tables["backbone"] = {"name": str(folder), "train": "lora", "precision": "float32"}
        tables["model"] = {"heads": 2, "cross_attention_width": 16, "likeness": 0}
    backbone = import_module("backbone")
    report = backbone.compare(six_dataset, six_recipe(**tables), torch.device("cpu"), users=6, limit=0.0)
    assert json.loads(json.dumps(report)) == report
    figures = [report["training"]["ratio per target"], report["recommending"]["ratio"]]
    figures += [report[part]["ours"]["utilisation"] for part in ("training", "recommending")]
    assert np.isfinite(figures).all()
    assert min(figures) > 0
    assert report["training"]["ours"]["item targets"] > report["training"]["ours"]["sentences"]
    assert report["training"]["official"]["item targets"] == report["training"]["official"]["sentences"]
    assert any("ratio per trained target" in line for line in backbone.lines(report))
