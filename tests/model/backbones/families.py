"""Tiny language models of many families, with random weights, as folders that transformers would open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from unimp.model.backbones.config import BackboneConfig, LoraConfig
from unimp.model.backbones.source import BackboneSource, find_backbone

transformers = pytest.importorskip(
    "transformers", reason="needs the extra `pretrained`: make test-pretrained"
)

NUM_WORDS = 300
SIZES: dict[str, Any] = {
    "vocab_size": NUM_WORDS + 4,  # rows beyond the tokenizer's words, as real models have them
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 96,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": GROUPED,
    "qwen3": {**GROUPED, "head_dim": 16, "tie_word_embeddings": True},
    "opt": {
        **{k: v for k, v in SIZES.items() if k != "intermediate_size"},
        "ffn_dim": 48,
        "word_embed_proj_dim": 24,  # words are narrower than the layers
        "dropout": 0.0,
    },
    "gpt_neox": SIZES,
    "gpt2": {
        "vocab_size": NUM_WORDS + 4,
        "n_embd": 32,
        "n_layer": 3,
        "n_head": 4,
        "n_positions": 96,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "gemma3_text": {
        **GROUPED,
        "head_dim": 8,
        "sliding_window": 6,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
    "mistral": {**GROUPED, "sliding_window": 6},
    "granite": {**GROUPED, "logits_scaling": 3.0, "embedding_multiplier": 2.0},
}


def tiny_tokenizer() -> Tokenizer:
    """A byte-level BPE of exactly NUM_WORDS words, as the models of these families have one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=NUM_WORDS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = "the brand of a thing is its category and a warm soft dress of the colour blue, rated five stars. "
    text += "many small users wrote: very good thing, bad lamp, warm lamp, nice jacket, number of kind title"
    tokenizer.train_from_iterator([text] * 3, trainer)
    return tokenizer


def language_model(family: str, seed: int = 0, **changes: Any) -> Any:
    """A random language model whose weights are so large that every position matters."""
    config = transformers.AutoConfig.for_model(family, **{**FAMILIES.get(family, SIZES), **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lm = transformers.AutoModelForCausalLM.from_config(config)
        for parameter in lm.parameters():
            if parameter.ndim >= 2:
                torch.nn.init.normal_(parameter, std=0.2)
    return lm.eval()


def model_folder(folder: Path, family: str = "llama", seed: int = 0, **changes: Any) -> Path:
    """The model and its tokenizer on disk."""
    language_model(family, seed, **changes).save_pretrained(folder)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer())
    tokenizer.save_pretrained(folder)
    return folder


def source_of(folder: Path, family: str = "llama", seed: int = 0, **changes: Any) -> BackboneSource:
    return find_backbone(str(model_folder(folder, family, seed, **changes)))


def config_of(train: str = "frozen", **changes: Any) -> tuple[BackboneConfig, LoraConfig]:
    values = {"name": "tiny", "train": train, "precision": "float32", **changes}
    return BackboneConfig.parse(values, "test"), LoraConfig(rank=4, dropout=0.0)
