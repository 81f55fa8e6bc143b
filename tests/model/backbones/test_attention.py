"""Attention in float32 while a bfloat16 model trains on a CPU."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.model.backbones.families import FAMILIES, config_of, source_of
from unimp.model.backbones.attention import FASTER_UP_TO, Float32Attention
from unimp.model.backbones.huggingface import HuggingFaceBackbone
from unimp.model.backbones.opening import open_backbone


def backbone(folder: Path, family: str, *, checkpointed: bool = False) -> HuggingFaceBackbone:
    config, lora = config_of("lora", precision="bfloat16", gradient_checkpointing=checkpointed)
    torch.manual_seed(0)
    return open_backbone(source_of(folder, family), config, lora).decoder


def vectors() -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    return tuple(torch.randn(2, 4, 9, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))


@pytest.mark.parametrize("masked", [True, False])
def test_it_is_the_float32_attention_rounded_once(masked: bool) -> None:
    query, key, value = vectors()
    mask = torch.zeros(9, 9, dtype=torch.bfloat16).masked_fill(torch.ones(9, 9).triu(1) > 0, -torch.inf)
    with Float32Attention():
        if masked:
            found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        else:
            found = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    exact = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), is_causal=True)
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found, exact.to(torch.bfloat16), rtol=1e-2, atol=1e-3)
    found.float().square().sum().backward()
    assert query.grad is not None
    assert query.grad.dtype is torch.bfloat16


def test_other_functions_and_float32_are_left_alone() -> None:
    query, key, value = (tensor.detach().float() for tensor in vectors())
    plain = F.scaled_dot_product_attention(query, key, value)
    with Float32Attention():
        assert torch.equal(F.scaled_dot_product_attention(query, key, value), plain)
        assert torch.equal(F.gelu(query), F.gelu(query))


def test_autocast_does_not_take_it_back() -> None:
    query, key, value = vectors()
    with torch.autocast("cpu", torch.bfloat16), Float32Attention():
        found = F.scaled_dot_product_attention(query, key, value)
    exact = F.scaled_dot_product_attention(query.float(), key.float(), value.float())
    torch.testing.assert_close(found, exact.to(torch.bfloat16), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_training_computes_it(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[str] = []
    enter = Float32Attention.__enter__
    monkeypatch.setattr(Float32Attention, "__enter__", lambda mode: (entered.append(family), enter(mode))[1])
    decoder = backbone(tmp_path, family)
    x_BTD = torch.randn(2, 7, decoder.width)
    with torch.inference_mode():
        answered = decoder(x_BTD)
    assert not entered
    trained = decoder(x_BTD)
    assert entered
    assert isinstance(decoder.attention(FASTER_UP_TO + 1), nullcontext)
    torch.testing.assert_close(trained, answered, rtol=0.05, atol=0.1)


def test_layers_that_are_computed_again_are_left_alone(tmp_path: Path) -> None:
    """Their second pass runs outside the forward pass: it must save what the first one saved."""
    decoder = backbone(tmp_path, "llama", checkpointed=True).train()
    x_BTD = torch.randn(2, 7, decoder.width, requires_grad=True)
    decoder(x_BTD).sum().backward()
    assert x_BTD.grad is not None
    assert bool(torch.isfinite(x_BTD.grad).all())
