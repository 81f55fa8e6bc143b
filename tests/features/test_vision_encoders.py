"""One contract for the vision encoders: prepared from a catalogue, saved, loaded, and the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.features.tiny import WIDTH, vision_folder
from tests.train.conftest import NUM_ITEMS, tiny_dataset  # noqa: F401 - a fixture
from unimp.core.errors import ConfigError
from unimp.data.dataset import Dataset
from unimp.features.vision.config import VisionConfig
from unimp.features.vision.encoder import PreparedPictures, SavedVision, VisionEncoder, encoder_class

OWN = {"height": 16, "image_width": 24, "token_width": 8, "pretrain_epochs": 1}
KINDS = ["catalogue, frozen", "own, frozen", "own, trained", "pretrained, frozen", "pretrained, trained"]


def config_of(kind: str, tmp_path: Path, **changes: Any) -> VisionConfig:
    values: dict[str, Any] = {**OWN, "trainable": kind.endswith("trained"), **changes}
    if kind.startswith("catalogue"):
        values["kind"] = "catalogue"
    if kind.startswith("pretrained"):
        values["encoder"] = str(vision_folder(tmp_path / "clip", "clip_vision_model"))
    return VisionConfig(**values)


def prepared(dataset: Dataset, config: VisionConfig) -> PreparedPictures:
    found = encoder_class(config).prepare(dataset.catalog, config, seed=0, show=False)
    assert found is not None
    return found


def saved_and_loaded(encoder: VisionEncoder, config: VisionConfig) -> VisionEncoder:
    """As a run folder does it."""
    weights = encoder.weights
    facts = None if weights is None else {"name": weights.lasting_name, "identity": weights.identity}
    tensors = {name: tensor.clone() for name, tensor in encoder.tensors().items()}
    return encoder_class(config).load(config, SavedVision(tensors, encoder.token_width, facts))


@pytest.mark.parametrize("kind", KINDS)
def test_contract(tiny_dataset: Dataset, tmp_path: Path, kind: str) -> None:  # noqa: F811
    config = config_of(kind, tmp_path)
    pictures = prepared(tiny_dataset, config)
    encoder = pictures.encoder
    assert encoder.trained == kind.endswith(", trained")
    assert encoder.token_width == 8
    assert encoder.picture_size == ((16, 16) if kind.startswith("pretrained") else (16, 24))
    assert pictures.present_I.tolist() == [False] + [True] * (NUM_ITEMS - 1)
    assert (pictures.pixels_IYX3 is None) == (pictures.visual_IVE is not None) == (not encoder.trained)

    pixels = torch.rand(2, 3, *encoder.picture_size, generator=torch.Generator().manual_seed(1))
    loaded = saved_and_loaded(encoder, config)
    torch.manual_seed(3)
    first = encoder.network()(pixels)
    torch.manual_seed(3)
    again = loaded.network()(pixels)
    assert first.shape == (2, pictures.num_tokens, 8)
    assert torch.equal(first, again)
    assert (loaded.trained, loaded.token_width) == (encoder.trained, encoder.token_width)
    assert loaded.picture_size == encoder.picture_size
    assert first.requires_grad == encoder.trained


@pytest.mark.parametrize("kind", ["catalogue, frozen", "own, frozen", "pretrained, frozen"])
def test_a_frozen_network_gives_the_features(tiny_dataset: Dataset, tmp_path: Path, kind: str) -> None:  # noqa: F811
    from unimp.features.pixels import load_pixels
    from unimp.model.vision import pixels_from_bytes

    pictures = prepared(tiny_dataset, config_of(kind, tmp_path))
    assert pictures.visual_IVE is not None
    pixels = load_pixels(tiny_dataset.catalog, *pictures.encoder.picture_size)
    assert pixels is not None
    with torch.no_grad():
        found = pictures.encoder.network()(pixels_from_bytes(torch.from_numpy(pixels.values[3:6])))
    torch.testing.assert_close(found, pictures.visual_IVE[3:6].float(), atol=5e-3, rtol=5e-3)


def test_a_trained_network_is_new_each_time(tiny_dataset: Dataset, tmp_path: Path) -> None:  # noqa: F811
    encoder = prepared(tiny_dataset, config_of("own, trained", tmp_path)).encoder
    first, second = (dict(encoder.network().named_parameters()) for _ in range(2))
    assert first.keys() == second.keys()
    assert all(first[name] is not second[name] for name in first)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resampler_larger_than_the_picture_is_refused(
    tiny_dataset: Dataset,  # noqa: F811
    tmp_path: Path,
    kind: str,
) -> None:
    with pytest.raises(ConfigError, match=r"vision.resampler 99: a picture has \d+ visual tokens"):
        prepared(tiny_dataset, config_of(kind, tmp_path, resampler=99))


def test_the_width_of_a_pretrained_encoder(tiny_dataset: Dataset, tmp_path: Path) -> None:  # noqa: F811
    config = config_of("pretrained, frozen", tmp_path, token_width=0)
    pictures = prepared(tiny_dataset, config)
    assert pictures.encoder.token_width == WIDTH
    assert pictures.encoder.tensors() == {}
    loaded = saved_and_loaded(pictures.encoder, config)
    assert loaded.token_width == WIDTH
