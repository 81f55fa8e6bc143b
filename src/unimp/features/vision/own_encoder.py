"""What encoders of our own share: trained once on the catalogue's pictures, kept in the cache, frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import torch
from torch import Tensor, nn

from unimp.core.errors import CheckpointError
from unimp.core.files import read_tensors, write_tensors
from unimp.features.cache import FeatureCache
from unimp.features.pixels import Pixels
from unimp.model.vision import pixels_from_bytes

Network = TypeVar("Network", bound=nn.Module)


def trained_once(
    cache: FeatureCache, identity: str, pixels: Pixels, empty: Network, train: Callable[[], Network]
) -> Network:
    """The frozen encoder that `train` returns, or `empty` with the weights that an earlier run left.

    `identity` and the pictures' hash name it in the cache.
    """
    key = hashlib.sha256(f"{identity}\n{pixels.digest}".encode()).hexdigest()[:24]
    path, encoder = cache.folder / f"{key}.encoder.safetensors", empty
    try:
        encoder.load_state_dict(read_tensors(path)[0])
    except (CheckpointError, RuntimeError):
        encoder = train()
        with suppress(CheckpointError, OSError):  # costs the time again, never the run
            cache.folder.mkdir(parents=True, exist_ok=True)
            write_tensors(path, encoder.state_dict(), {"identity": identity})
    return encoder.eval().requires_grad_(False)


@torch.inference_mode()
def encode_pictures(encoder: nn.Module, pixels: Pixels, batch: int = 256) -> Tensor:
    """[I, V, E] fp16 visual tokens, each picture encoded once."""
    values = torch.from_numpy(pixels.values)
    parts = [encoder(pixels_from_bytes(part)).to(torch.float16) for part in values.split(batch)]
    return torch.cat(parts)
