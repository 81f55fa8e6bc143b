"""`HuggingFaceBackbone`: the body of a causal language model behind the interface of our decoder."""

# B sentences, T positions, S cached positions, D width of its embeddings, L layers, H key heads, K head width

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unimp.core.errors import ConfigError
from unimp.model.backbones.attention import FASTER_UP_TO, Float32Attention
from unimp.model.backbones.probe import Probe
from unimp.model.decoder import BeforeLayer, KVCache


def read_pictures(layer: int, _: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Forward pre-hook of one decoder layer: what it gets has read the pictures first.

    What is to be read travels as an argument of the forward pass, never on the module.
    """
    before_layer: BeforeLayer | None = kwargs.pop("before_layer", None)
    if before_layer is None:
        return args, kwargs
    x_BTD, *others = args
    return (before_layer(layer, x_BTD.float()).to(x_BTD.dtype), *others), kwargs


def decoder_layers(body: nn.Module, count: int, label: str) -> tuple[str, nn.ModuleList]:
    """The list of `count` layers within a language model, and its name; ConfigError when there is none."""
    for name, module in body.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, module
    raise ConfigError(f"{label}: no list of {count} decoder layers in it; take a decoder-only language model")


class HuggingFaceBackbone(nn.Module):
    """Embeddings in, hidden states out, as `CompactDecoder`; the words' rows are in `BackboneTokens`.

    The body keeps its parameters' names. `precision` is what its layers compute in; hidden states come out as
    float32, times the constant with which the model multiplies its logits.
    """

    def __init__(self, body: nn.Module, probe: Probe, num_layers: int, longest: int, label: str) -> None:
        super().__init__()
        self.body: Any = body
        self.probe, self.label, self.longest = probe, label, longest
        self.width, self.layer_width, self.num_layers = probe.width, probe.layer_width, num_layers
        self.hidden_size = probe.hidden_size
        self.autocast: torch.dtype | None = None
        """Set where weights that learn stay float32 and layers compute in something shorter."""
        self.plain_layers = True
        """Layers run as they are: neither compiled nor computed again for their gradient."""
        self.layers_name, layers = decoder_layers(body, num_layers, label)
        for number, layer in enumerate(layers):
            layer.register_forward_pre_hook(partial(read_pictures, number), with_kwargs=True)

    @property
    def layers(self) -> nn.ModuleList:
        found = self.body.get_submodule(self.layers_name)
        assert isinstance(found, nn.ModuleList)
        return found

    @property
    def floating(self) -> Tensor:
        """Any of its weights: where it is and in what it is kept."""
        return next(parameter for parameter in self.layers.parameters() if parameter.is_floating_point())

    @property
    def transposed(self) -> bool:
        """Whether its linear layers keep their weights the other way round (GPT-2)."""
        return any(type(module).__name__ == "Conv1D" for module in self.layers.modules())

    def checkpoint_layers(self) -> None:
        """Keep a layer's input alone while training, and compute the layer again for its gradient."""
        self.plain_layers = False
        for layer in self.layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)

    def compile_layers(self) -> None:
        """Compile every layer; cross-attention, which looks different in each batch, stays outside."""
        self.plain_layers = False
        for layer in self.layers:
            layer.forward = torch.compile(layer.forward, dynamic=True)

    def new_cache(self, batch: int, capacity: int, starts_B: Tensor | None = None) -> KVCache:
        heads, head_width = self.probe.key_heads, self.probe.head_width
        shape = (self.num_layers, batch, heads, capacity, head_width)
        like = self.floating
        dtype = self.autocast or like.dtype
        return KVCache(
            like.new_zeros(shape, dtype=dtype), like.new_zeros(shape, dtype=dtype), starts_B=starts_B
        )

    def forward(
        self, x_BTD: Tensor, cache: KVCache | None = None, before_layer: BeforeLayer | None = None
    ) -> Tensor:
        """[B, T, D] -> [B, T, D]. With a cache, `x` continues what the cache holds; the cache moves on.

        ConfigError when a sentence is longer than the model can read.
        """
        length = x_BTD.shape[1]
        self.check_length(length if cache is None else cache.used + length)
        arguments = {} if cache is None else self.continuing(cache, length)
        if before_layer is not None:
            arguments["before_layer"] = before_layer
        like = self.floating
        shorter = torch.autocast(like.device.type, self.autocast) if self.autocast else nullcontext()
        with shorter, self.attention(length):
            out = self.body(inputs_embeds=x_BTD.to(like.dtype), use_cache=cache is not None, **arguments)
        if cache is not None:
            cache.used += length
        hidden: Tensor = out.last_hidden_state.float()
        return hidden if self.probe.logit_factor == 1.0 else hidden * self.probe.logit_factor

    def attention(self, length: int) -> AbstractContextManager[Any]:
        """How attention is computed: as the model does, but in float32 while training on a CPU on sentences
        so short that it is faster."""
        learns = torch.is_grad_enabled() and self.plain_layers and length <= FASTER_UP_TO
        return Float32Attention() if learns and self.floating.device.type == "cpu" else nullcontext()

    def continuing(self, cache: KVCache, length: int) -> dict[str, Any]:
        """What the body is told of a cache: its keys, who is padding, and each position's own number."""
        from unimp.model.backbones.cache import as_transformers

        stop = cache.used + length
        if stop > cache.capacity:
            raise ValueError(f"KV cache holds {cache.capacity} positions, {stop} needed")
        positions_S = torch.arange(stop, device=cache.keys.device)
        told: dict[str, Any] = {self.probe.cache_name: as_transformers(cache)}
        if cache.starts_B is None:
            told["position_ids"] = positions_S[None, cache.used :]
            return told
        own_BS = positions_S - cache.starts_B[:, None]
        told["attention_mask"] = (own_BS >= 0).long()
        told["position_ids"] = own_BS[:, cache.used :].clamp(min=0)
        return told

    def check_length(self, positions: int) -> None:
        if self.longest and positions > self.longest:
            raise ConfigError(
                f"{self.label}: a sentence has {positions:,} positions, it reads {self.longest:,} at most; "
                "lower sentence.max_items, or the budgets of its fields"
            )


def linear_names(layers: nn.ModuleList) -> Sequence[str]:
    """Last parts of the names of all linear layers within decoder layers: what adapters can stand beside."""
    kinds = {"Linear", "Conv1D"}
    names = {
        name.rsplit(".", 1)[-1]
        for layer in layers
        for name, module in layer.named_modules()
        if type(module).__name__ in kinds
    }
    return sorted(names)
