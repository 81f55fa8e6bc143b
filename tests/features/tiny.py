"""Tiny encoders with random weights, written as `save_pretrained` writes real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

SIDE, PATCH, WIDTH = 16, 4, 12
VISION: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "mug", "shirt", "striped", "thing"]
WORDS += ["number", "of", "kind", "warm", "a", "##s", "1", "2", "3"]


def vision_folder(folder: Path, family: str, seed: int = 0, **changes: Any) -> Path:
    """A picture encoder of that family; skips without transformers."""
    transformers = pytest.importorskip("transformers", reason="needs pip install 'unimp[pretrained]'")
    names = {
        "clip_vision_model": ("CLIPVisionConfig", "CLIPVisionModel"),
        "siglip_vision_model": ("SiglipVisionConfig", "SiglipVisionModel"),
        "dinov2": ("Dinov2Config", "Dinov2Model"),
        "dinov2_with_registers": ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel"),
        "vit": ("ViTConfig", "ViTModel"),
        "convnext": ("ConvNextConfig", "ConvNextModel"),
    }
    config_name, model_name = names[family]
    values = {**VISION, **changes}
    if family == "convnext":
        values = {"hidden_sizes": [4, 6, 8, WIDTH], "depths": [1, 1, 1, 1], "image_size": 32, "patch_size": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, model_name)(getattr(transformers, config_name)(**values))
    model.save_pretrained(folder)
    return folder


def text_folder(folder: Path, pooling: str | None = "pooling_mode_mean_tokens", seed: int = 0) -> Path:
    """A sentence encoder; `pooling` None leaves out what sentence-transformers adds."""
    transformers = pytest.importorskip("transformers", reason="needs pip install 'unimp[pretrained]'")
    folder.mkdir(parents=True, exist_ok=True)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        initializer_range=0.5,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    transformers.BertTokenizer(vocab={word: row for row, word in enumerate(WORDS)}).save_pretrained(folder)
    if pooling is not None:
        kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
        parts = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
        (folder / "modules.json").write_text(json.dumps(parts))
        (folder / "1_Pooling").mkdir(exist_ok=True)
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({pooling: True}))
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8}))
    return folder
