"""The cache goes by the name that the installed transformers gives it, an older or a newer one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.model.backbones.families import language_model
from unimp.model.backbones.huggingface import HuggingFaceBackbone
from unimp.model.backbones.opening import taken_apart
from unimp.model.backbones.probe import cache_name
from unimp.model.decoder import KVCache

LABEL = 'backbone.name "tiny"'


class Older(nn.Module):
    def forward(
        self, inputs_embeds: Tensor, past_key_values: Any = None, use_cache: bool = False
    ) -> None: ...


class Newer(nn.Module):
    def forward(self, inputs_embeds: Tensor, cache: Any = None, use_cache: bool = False) -> None: ...


@pytest.mark.parametrize(("body", "name"), [(Older(), "past_key_values"), (Newer(), "cache")])
def test_its_name_is_the_forward_passes_own(body: nn.Module, name: str) -> None:
    assert cache_name(body) == name


def renamed(lm: Any, name: str) -> None:
    """Let the body's forward pass call its cache `name`, at its input and at its output."""
    whole, own = lm.base_model.forward, cache_name(lm.base_model)

    class Output(dict[str, Any]):
        last_hidden_state: Tensor

    def answered(arguments: dict[str, Any], given: Any) -> Output:
        out = whole(**{own: given}, **arguments)
        known = Output({name: out[own]} if out.get(own) is not None else {})
        known.last_hidden_state = out.last_hidden_state
        return known

    def older(past_key_values: Any = None, **arguments: Any) -> Output:
        return answered(arguments, past_key_values)

    def newer(cache: Any = None, **arguments: Any) -> Output:
        return answered(arguments, cache)

    lm.base_model.forward = {"past_key_values": older, "cache": newer}[name]


@pytest.mark.parametrize("name", ["past_key_values", "cache"])
@torch.inference_mode()
def test_either_name_is_read_and_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = language_model("llama")
    x = torch.randn(2, 7, lm.config.hidden_size)
    expected = lm.base_model(inputs_embeds=x).last_hidden_state
    monkeypatch.setattr("unimp.model.backbones.probe.logit_factor", lambda *_: 1.0)
    renamed(lm, name)
    decoder: HuggingFaceBackbone = taken_apart(lm, LABEL).decoder
    assert decoder.probe.cache_name == name
    cache = decoder.new_cache(2, 7)
    parts = [decoder(x[:, :3], cache), decoder(x[:, 3:], cache)]
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, rtol=1e-4, atol=1e-4)


def test_masks_are_sized_by_a_length_or_by_positions() -> None:
    """The one is transformers' way since 5.5, the other was before."""
    from unimp.model.backbones.cache import RoomLayer  # which imports transformers

    layer = RoomLayer(KVCache(torch.zeros(1, 1, 1, 8, 2), torch.zeros(1, 1, 1, 8, 2), used=3), 0)
    assert layer.get_mask_sizes(2) == layer.get_mask_sizes(torch.arange(3, 5)) == (5, 0)
    assert layer.get_max_length() == layer.get_max_cache_shape() == 8
