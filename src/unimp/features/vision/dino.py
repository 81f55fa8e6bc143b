"""DINOv2 (Oquab et al., TMLR 2024), with and without registers (Darcet et al., ICLR 2024)."""

from __future__ import annotations

from unimp.core.weights import Weights
from unimp.features.vision.patch_grid import PatchEncoder, colours, load_body, picture_size


def open_dinov2(weights: Weights, size: int) -> PatchEncoder:
    return open_dino(weights, "Dinov2Model", size)


def open_dinov2_with_registers(weights: Weights, size: int) -> PatchEncoder:
    return open_dino(weights, "Dinov2WithRegistersModel", size)


def open_dino(weights: Weights, class_name: str, size: int) -> PatchEncoder:
    body = load_body(weights, class_name)
    size = picture_size(weights, size, body.config)
    prefix = 1 + int(getattr(body.config, "num_register_tokens", 0))
    # It fits its positions to any size by itself.
    return PatchEncoder(body, size, prefix=prefix, resizes=False, **colours(weights)).eval()
