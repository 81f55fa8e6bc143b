"""Picture encoders of transformers with tiny random weights, saved and opened again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.features.tiny import PATCH, SIDE, WIDTH, vision_folder
from unimp.core.errors import ConfigError
from unimp.core.weights import find_weights
from unimp.features.encoders import VISION, open_vision
from unimp.features.vision.grid_encoder import CHUNK, GridEncoder

FAMILIES = ["clip_vision_model", "siglip_vision_model", "dinov2", "dinov2_with_registers", "vit"]


def opened(folder: Path, size: int = 0) -> GridEncoder:
    return open_vision(find_weights(str(folder), "vision.encoder"), size)


def pictures(count: int = 3, side: int = SIDE) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_token_answers_for_its_own_part_of_the_grid(family: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")

    folder = vision_folder(tmp_path, family)
    encoder = opened(folder)
    assert (encoder.size, encoder.grid, encoder.width) == (SIDE, (SIDE // PATCH, SIDE // PATCH), WIDTH)
    with torch.inference_mode():
        tokens = encoder(pictures())
        scaled = (pictures() - encoder.mean) / encoder.std
        body = transformers.AutoModel.from_pretrained(folder).eval()
        hidden = body(pixel_values=scaled).last_hidden_state
        if family == "clip_vision_model":
            hidden = body.post_layernorm(hidden)
    assert tokens.shape == (3, 16, WIDTH)
    torch.testing.assert_close(tokens, hidden[:, hidden.shape[1] - 16 :], rtol=1e-4, atol=1e-5)


def test_convolutions_give_their_last_grid(tmp_path: Path) -> None:
    encoder = opened(vision_folder(tmp_path, "convnext"))
    with torch.inference_mode():
        assert encoder(pictures(2, 32)).shape == (2, 4, WIDTH)
    assert encoder.grid == (2, 2)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_the_picture_tower_of_a_whole_checkpoint_is_read(family: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tower = vision_folder(tmp_path / "tower", f"{family}_vision_model")
    config_class, model_class = {
        "clip": (transformers.CLIPConfig, transformers.CLIPModel),
        "siglip": (transformers.SiglipConfig, transformers.SiglipModel),
    }[family]
    small = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 9,
    }
    vision_config = json.loads((tower / "config.json").read_text())
    whole = model_class(config_class(text_config=small, vision_config=vision_config, projection_dim=8))
    read = transformers.AutoModel.from_pretrained(tower)
    whole.vision_model.load_state_dict(read.state_dict())
    whole.save_pretrained(tmp_path / "whole")
    with torch.inference_mode():
        wanted = opened(tower)(pictures())
        assert torch.equal(opened(tmp_path / "whole")(pictures()), wanted)


def test_the_folder_says_size_and_colours(tmp_path: Path) -> None:
    folder = vision_folder(tmp_path, "dinov2")
    described = {
        "crop_size": {"height": 8, "width": 8},
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [1, 1, 1],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(described))
    encoder = opened(folder)
    assert (encoder.size, encoder.grid) == (8, (2, 2))
    assert encoder.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert opened(folder, 20).grid == (5, 5)


@pytest.mark.parametrize("family", ["clip_vision_model", "siglip_vision_model", "dinov2"])
def test_positions_are_fitted_to_another_size(family: str, tmp_path: Path) -> None:
    encoder = opened(vision_folder(tmp_path, family), 24)
    with torch.inference_mode():
        assert encoder(pictures(2, 24)).shape == (2, 36, WIDTH)


def test_a_size_between_the_patches_is_refused(tmp_path: Path) -> None:
    folder = vision_folder(tmp_path, "clip_vision_model")
    with pytest.raises(ConfigError, match=r"vision.size 18: .*reads multiples of 4; try 16"):
        opened(folder, 18)


def test_weights_that_are_missing_are_not_drawn_at_random(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = vision_folder(tmp_path, "clip_vision_model")
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layers.1.mlp" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks 4 weights of CLIPVisionModel, such as .*layers\.1\.mlp"):
        opened(folder)


def test_damaged_weights_are_one_line(tmp_path: Path) -> None:
    folder = vision_folder(tmp_path, "clip_vision_model")
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match=r"cannot be read \(.*; fetch it again$") as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def test_a_text_model_is_no_picture_encoder(tmp_path: Path) -> None:
    from tests.features.tiny import text_folder

    with pytest.raises(
        ConfigError, match=r"a model of type bert gives no visual tokens.*name a picture encoder"
    ):
        opened(text_folder(tmp_path))


def test_it_stays_in_evaluation_mode_and_chunks_change_nothing(tmp_path: Path) -> None:
    encoder = opened(vision_folder(tmp_path, "vit")).train()
    assert not any(module.training for module in encoder.modules())
    many = pictures(CHUNK + 3)
    tokens = encoder(many)  # with gradients: in chunks, activations made again
    tokens.square().sum().backward()
    gradient = next(encoder.parameters()).grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    with torch.inference_mode():
        torch.testing.assert_close(tokens, encoder.tokens((many - encoder.mean) / encoder.std))


def test_every_family_of_the_table_can_be_imported() -> None:
    import importlib

    for place in VISION.values():
        module, attribute = place.split(":")
        if module != "unimp.features.vision.efficientnet":
            assert callable(getattr(importlib.import_module(module), attribute))
