from __future__ import annotations

import re

import pytest
import torch

from unimp.core.devices import pick_device
from unimp.core.errors import ConfigError


def with_devices(monkeypatch: pytest.MonkeyPatch, count: int, cuda: str | None) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)


@pytest.mark.parametrize(
    ("name", "count", "cuda", "message"),
    [
        ("cuda", 0, None, f"cuda: torch {torch.__version__} is built without CUDA; available: auto, cpu"),
        ("cuda", 0, "13.0", "cuda: torch finds no CUDA device here; available: auto, cpu"),
        ("cuda:9", 1, "13.0", "cuda:9: this machine has 1 CUDA device(s); available: auto, cpu, cuda:0"),
        ("gpu", 1, "13.0", "gpu: unknown; available: auto, cpu, cuda:0"),
        ("cuda:x", 1, "13.0", "cuda:x: unknown; available: auto, cpu, cuda:0"),
        ("CPU", 0, None, "CPU: unknown; available: auto, cpu"),
    ],
)  # fmt: skip
def test_a_device_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, name: str, count: int, cuda: str | None, message: str
) -> None:
    with_devices(monkeypatch, count, cuda)
    with pytest.raises(ConfigError, match=f"^{re.escape('--device ' + message)}$"):
        pick_device(name)


def test_devices_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with_devices(monkeypatch, 2, "13.0")
    assert pick_device() == torch.device("cuda")
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with_devices(monkeypatch, 0, None)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")


def test_the_place_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^SASRec device tpu: unknown"):
        pick_device("tpu", "SASRec device")
