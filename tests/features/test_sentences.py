"""Sentence encoders: pooling worked by hand, padding, what is too long, and parts that are not known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.features.tiny import WIDTH, text_folder
from unimp.core.errors import ConfigError
from unimp.core.weights import find_weights
from unimp.features.encoders import open_text
from unimp.features.sentence_model import SentenceModel, pool

HIDDEN = torch.tensor([[[1.0, 8.0], [3.0, 2.0], [9.0, 9.0]], [[1.0, 1.0], [2.0, 2.0], [6.0, 0.0]]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", [[2.0, 5.0], [3.0, 1.0]]),
        ("first", [[1.0, 8.0], [1.0, 1.0]]),
        ("last", [[3.0, 2.0], [6.0, 0.0]]),
        ("max", [[3.0, 8.0], [6.0, 2.0]]),
    ],
)
def test_pooling_by_hand(pooling: str, expected: list[list[float]]) -> None:
    assert pool(HIDDEN, MASK, pooling).tolist() == expected


def opened(folder: Path) -> SentenceModel:
    return open_text(find_weights(str(folder), "content.encoder"))


def test_company_does_not_move_a_sentence(tmp_path: Path) -> None:
    model = opened(text_folder(tmp_path))
    alone = model.embed(["red mug"])
    among = model.embed(["a striped blue shirt of kind 3", "red mug", ""])
    assert alone.shape == (1, WIDTH)
    np.testing.assert_allclose(among[1], alone[0], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(among, axis=1), 1, rtol=1e-5)
    assert abs(float(among[0] @ alone[0])) < 0.999


def test_the_folder_says_how_to_pool_and_how_much_is_read(tmp_path: Path) -> None:
    mean = opened(text_folder(tmp_path / "mean"))
    first = opened(text_folder(tmp_path / "first", "pooling_mode_cls_token"))
    plain = opened(text_folder(tmp_path / "plain", None))
    assert (mean.pooling, mean.longest) == ("mean", 8)
    assert (first.pooling, plain.pooling, plain.longest) == ("first", "mean", 12)
    assert not np.allclose(mean.embed(["red mug"]), first.embed(["red mug"]))
    long = "red " * 50
    np.testing.assert_array_equal(mean.embed([long]), mean.embed([long + "blue"]))


def test_a_part_that_is_not_known_is_named(tmp_path: Path) -> None:
    folder = text_folder(tmp_path)
    parts = json.loads((folder / "modules.json").read_text())
    parts.append({"path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(parts))
    with pytest.raises(ConfigError, match=r"its part Dense is not supported; name a sentence encoder of"):
        opened(folder)


def test_a_folder_without_tokenizer_says_so(tmp_path: Path) -> None:
    folder = text_folder(tmp_path)
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ConfigError, match=r"has no tokenizer \(tokenizer.json, .*; name the folder of"):
        opened(folder)
