"""What the golden run (`golden.py`) trains: the shop, three recipes and a tiny language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from unimp.demo.shop.settings import ShopConfig

SHOP = ShopConfig(num_items=320, num_users=60, picture_size=16)
TASKS = ["recommendation", "search", "rating", "explanation", "selection", "imagination"]
PICTURE_SIZE = {"height": 16, "image_width": 16}
SMALL: dict[str, Any] = {
    "tasks": ["recommendation"],
    "content": {"text": 8},
    "vision": {**PICTURE_SIZE, "token_width": 8, "pretrain_epochs": 1, "trainable": True, "resampler": 4},
    "model": {"width": 16, "layers": 2, "heads": 2, "hidden": 32, "dropout": 0.1},
    "train": {"epochs": 3, "lr": 5e-3, "batch_positions": 512, "threads": 1, "valid_users": 30},
}
SIX: dict[str, Any] = SMALL | {
    "tasks": TASKS,
    "sentence": {"fields": ["category"]},
    "tokenizer": {"size": 400},
    "vision": {**PICTURE_SIZE, "token_width": 8, "pretrain_epochs": 1},
    "image_tokenizer": {
        **PICTURE_SIZE,
        "enabled": True,
        "reduction": 8,
        "levels": [4, 4],
        "channels": 16,
        "blocks": 1,
        "epochs": 1,
    },
    "structure": {"kind": "cosine", "neighbours": 10},
    "train": SMALL["train"] | {"epochs": 2, "valid_users": 12},
}
ON_LANGUAGE: dict[str, Any] = SIX | {
    "sentence": {"attributes": "words", "fields": ["category"], "max_items": 6},
    "model": {"heads": 2, "cross_attention_width": 16, "dropout": 0.0, "input_dropout": 0.0},
    "train": SMALL["train"] | {"epochs": 1, "max_steps": 6, "valid_users": 4},
}
LANGUAGE_MODEL = {
    "vocab_size": 304,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def language_model(folder: Path) -> Path:
    """A tiny Llama of random weights and its byte-level tokenizer, as transformers writes them."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(
        ["the brand of a thing, a soft blue dress, a warm lamp, rated five stars"], trainer
    )
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    network = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LANGUAGE_MODEL))
    for parameter in network.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.2)
    network.save_pretrained(folder)
    return folder
