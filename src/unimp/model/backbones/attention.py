"""Attention of a bfloat16 model in float32 on CPUs, where its gradient is several times as fast."""

# B sentences, H heads, T positions, K head width

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

FASTER_UP_TO = 256
"""Positions of a sentence up to which training gains by it (`benchmarks/speed/attention.py`)."""


class Float32Attention(TorchFunctionMode):
    """Within it, `scaled_dot_product_attention` of bfloat16 vectors [B, H, T, K] computes in float32.

    torch's bfloat16 kernel for CPUs makes many small products one by one for many short sentences; with the
    float32 kernel a pass through SmolLM2 and its gradient are 1.4 times as fast (25 positions, torch 2.13).
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention or args[0].dtype != torch.bfloat16:
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            out: Tensor = func(
                *(in_float32(value) for value in args),
                **{name: in_float32(value) for name, value in kwargs.items()},
            )
        return out.to(torch.bfloat16)


def in_float32(value: Any) -> Any:
    """A bfloat16 tensor in float32, anything else as it is."""
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value
