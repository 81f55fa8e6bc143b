"""`Probe`: one short sentence through a language model tells what no configuration file says in one way."""

# T positions, D width of the embeddings, W words

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from unimp.core.errors import ConfigError

LENGTH = 6
"""Words of the sentence."""
FACTOR_ERROR = 0.02
"""Most of the logits, as a share, that may be left unexplained by a product with the head's rows."""


@dataclass(frozen=True)
class Probe:
    """What was seen."""

    width: int
    """D of the embeddings and of the hidden states."""
    layer_width: int
    """Of what the layers hand on; most models have it equal to `width`."""
    key_heads: int
    head_width: int
    word_factor: float
    """With which the model multiplies a word's row at its input."""
    logit_factor: float
    """With which it multiplies its logits."""
    row_size: float
    """Root mean square of an entry of the words as the layers get them."""
    hidden_size: float
    """Root mean square of an entry of the hidden states, times `logit_factor`."""
    cache_name: str
    """What the forward pass calls the keys and values it is given, and those it returns."""


@torch.no_grad()
def probe_language_model(lm: Any, num_layers: int, layers: nn.ModuleList, label: str) -> Probe:
    """ConfigError for a model that cannot be used: layers that take no arguments, that keep other things than
    keys and values, or logits that are no product with the head's rows."""
    lm.eval()
    words = lm.get_input_embeddings()
    ids = torch.arange(LENGTH, device=words.weight.device)[None] % len(words.weight)
    entered, widths = words(ids), dict[int, int]()
    hooks = [
        layer.register_forward_pre_hook(partial(record, widths, number), with_kwargs=True)
        for number, layer in enumerate(layers)
    ]
    try:
        out = lm.base_model(inputs_embeds=entered, use_cache=True, before_layer=True)
    except TypeError:
        widths.clear()
    finally:
        for hook in hooks:
            hook.remove()
    if len(widths) != num_layers:
        raise ConfigError(
            f"{label}: layers of a {lm.config.model_type} model take no further arguments, so no picture "
            "can reach them; take a model of another kind (llama, mistral, qwen, gemma3, gpt_neox, opt, …)"
        )
    cache = cache_name(lm.base_model)
    heads, head_width = key_shape(out[cache], num_layers, label, lm.config.model_type)
    hidden = out.last_hidden_state.float()
    factor = logit_factor(lm, ids, hidden, label)
    rows = words.weight[ids].float()
    return Probe(
        entered.shape[-1],
        widths[0],
        heads,
        head_width,
        rounded(float((entered.float() * rows).sum() / rows.square().sum().clamp(min=1e-12))),
        factor,
        rms(words(torch.arange(len(words.weight), device=ids.device)[None, ::97])),
        rms(hidden[:, 1:] * factor),
        cache,
    )


def cache_name(body: nn.Module) -> str:
    """`cache` where the forward pass of the installed transformers takes it (5.24 and later), else
    `past_key_values`, of which newer versions warn before they drop it."""
    return "cache" if "cache" in inspect.signature(body.forward).parameters else "past_key_values"


def record(
    widths: dict[int, int], number: int, _: nn.Module, args: Any, kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Note that the layer's argument arrived, and how wide what it gets is."""
    if kwargs.pop("before_layer", False) and args:
        widths[number] = args[0].shape[-1]
    return args, kwargs


def key_shape(cache: Any, num_layers: int, label: str, kind: str) -> tuple[int, int]:
    """(key heads, head width), the same in every layer."""
    kept = [
        tensor
        for layer in getattr(cache, "layers", ())  # early versions have caches of another kind
        for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None))
        if tensor is not None
    ]
    shapes = {tuple(tensor.shape[1::2]) for tensor in kept}
    if len(kept) != 2 * num_layers or len(shapes) != 1:
        raise ConfigError(
            f"{label}: not every layer of this {kind} model keeps keys and values of one shape; "
            "take a model with plain attention in all layers"
        )
    return shapes.pop()


def logit_factor(lm: Any, ids: Tensor, hidden: Tensor, label: str) -> float:
    """c with logits = c · hidden · rows; most models have 1."""
    logits = lm(input_ids=ids, use_cache=False).logits.float()
    plain = hidden @ lm.get_output_embeddings().weight.float().T
    factor = float((logits * plain).sum() / plain.square().sum().clamp(min=1e-12))
    capped = getattr(lm.config.get_text_config(decoder=True), "final_logit_softcapping", None)
    if capped or rms(logits - factor * plain) > FACTOR_ERROR * max(rms(logits), 1e-12):
        raise ConfigError(
            f"{label}: logits of this {lm.config.model_type} model are not a product with its words' rows "
            "(a bias, or soft-capping); take a model without"
        )
    return rounded(factor)


def rounded(factor: float) -> float:
    """1 where it is 1 but for rounding, so that nothing is multiplied."""
    return 1.0 if abs(factor - 1.0) < 1e-3 else factor


def rms(values: Tensor) -> float:
    return float(values.float().square().mean().sqrt())
