"""From a source to what `UnimpModel` is made of: a decoder, and the words it brings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from unimp.model.backbones.config import BackboneConfig, LoraConfig
from unimp.model.backbones.huggingface import HuggingFaceBackbone, decoder_layers
from unimp.model.backbones.lora import add_adapters, is_adapter
from unimp.model.backbones.probe import probe_language_model
from unimp.model.backbones.source import BackboneSource


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model taken apart: body, and the rows of its words."""

    decoder: HuggingFaceBackbone
    words: nn.Embedding
    """Rows at the input; called with word numbers."""
    head: nn.Linear | None
    """Rows at the output; None where they are those of the input."""


def open_backbone(source: BackboneSource, config: BackboneConfig, lora: LoraConfig) -> LanguageModel:
    """Read the weights, on the CPU, and settle which of them learn."""
    shorter = config.precision == "bfloat16" or (config.precision == "auto" and torch.cuda.is_available())
    kept = torch.bfloat16 if shorter and config.train != "full" else torch.float32
    lm = source.language_model(str(kept).removeprefix("torch."))
    language = taken_apart(lm, source.label)
    decoder = language.decoder
    if shorter and config.train == "full":
        decoder.autocast = torch.bfloat16
    if config.train == "lora":
        add_adapters(decoder, lora)
    choose_what_learns(language, config.train)
    if config.gradient_checkpointing:
        decoder.checkpoint_layers()
    if config.compile:
        decoder.compile_layers()
    return language


def taken_apart(lm: Any, label: str) -> LanguageModel:
    """`lm` without its language head; the embedding leaves the body, so that each weight has one name."""
    config = lm.config.get_text_config(decoder=True)
    count = config.num_hidden_layers
    _, layers = decoder_layers(lm.base_model, count, label)
    probe = probe_language_model(lm, count, layers, label)
    words, head = lm.get_input_embeddings(), lm.get_output_embeddings()
    lm.base_model.set_input_embeddings(nn.Identity())
    longest = getattr(config, "max_position_embeddings", None) or 0
    decoder = HuggingFaceBackbone(lm.base_model, probe, count, longest, label)
    return LanguageModel(decoder, words, None if head.weight is words.weight else head)


def choose_what_learns(language: LanguageModel, train: str) -> None:
    """Every weight, the adapters, or nothing of the language model."""
    parts = [language.decoder, language.words, *([language.head] if language.head is not None else [])]
    for part in parts:
        for name, parameter in part.named_parameters():
            parameter.requires_grad_(train == "full" or (train == "lora" and is_adapter(name)))
