"""SigLIP (Zhai et al., ICCV 2023): patches only, no token beside them."""

from __future__ import annotations

from unimp.core.weights import Weights
from unimp.features.vision.patch_grid import PatchEncoder, colours, load_body, picture_size

HALF = (0.5, 0.5, 0.5)


def open_siglip(weights: Weights, size: int) -> PatchEncoder:
    body = load_body(weights, "SiglipVisionModel")
    size = picture_size(weights, size, body.config)
    return PatchEncoder(body, size, prefix=0, **colours(weights, HALF, HALF)).eval()
