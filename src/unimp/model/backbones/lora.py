"""Low-rank adapters beside a backbone's linear layers (peft)."""

from __future__ import annotations

import torch
from torch import nn

from unimp.core.errors import ConfigError, MissingExtra
from unimp.model.backbones.config import LoraConfig
from unimp.model.backbones.huggingface import HuggingFaceBackbone, linear_names


def add_adapters(backbone: HuggingFaceBackbone, config: LoraConfig) -> None:
    """Put adapters, zero at the start, beside the named layers; ConfigError for a name that none has."""
    try:
        from peft import LoraConfig as PeftConfig
        from peft import inject_adapter_in_model
    except ImportError:
        raise MissingExtra("backbone.train = \"lora\" needs peft; pip install 'unimp[pretrained]'") from None
    known = linear_names(backbone.layers)
    for name in config.modules:
        if name not in known:
            raise ConfigError(
                f"lora.modules: {backbone.label} has no linear layer {name!r}; it has {', '.join(known)}"
            )
    chosen = "|".join(config.modules or known)
    inject_adapter_in_model(
        PeftConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            target_modules=rf"{backbone.layers_name.replace('.', '[.]')}[.].*[.]({chosen})",
            fan_in_fan_out=backbone.transposed,
        ),
        backbone.body,
    )
    for name, parameter in backbone.body.named_parameters():
        if is_adapter(name):
            parameter.data = parameter.data.float()


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name belongs to an adapter."""
    return ".lora_" in name


@torch.no_grad()
def merge_adapters(module: nn.Module) -> None:
    """Add every adapter to the weights it stands beside: answers cost what they cost without."""
    from peft.tuners.lora import LoraLayer

    for layer in module.modules():
        if isinstance(layer, LoraLayer) and not layer.merged:
            layer.merge()
