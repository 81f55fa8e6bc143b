"""Which device computes: named by the user, checked before any work is done."""

from __future__ import annotations

import re

import torch

from unimp.core.errors import ConfigError

NAME = re.compile(r"cpu|cuda(?::(\d+))?")


def pick_device(name: str = "auto", place: str = "--device") -> torch.device:
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`; ConfigError says what is available.

    `place` is the option or key that names it.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    match = NAME.fullmatch(name)
    if match is None:
        raise ConfigError(f"{place} {name}: unknown; {available(count)}")
    if name != "cpu" and int(match[1] or 0) >= count:
        raise ConfigError(f"{place} {name}: {missing(count)}; {available(count)}")
    return torch.device(name)


def missing(count: int) -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} is built without CUDA"
    return f"this machine has {count} CUDA device(s)" if count else "torch finds no CUDA device here"


def available(count: int) -> str:
    """`available: auto, cpu, …`."""
    return "available: " + ", ".join(["auto", "cpu", *(f"cuda:{number}" for number in range(count))])
