"""CLIP (Radford et al., ICML 2021): the patches of its picture tower, after the tower's last norm."""

from __future__ import annotations

from torch import Tensor

from unimp.core.weights import Weights
from unimp.features.vision.patch_grid import PatchEncoder, colours, load_body, picture_size

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class ClipEncoder(PatchEncoder):
    """CLIP norms only the token it pools; the same norm brings the patches to one scale."""

    def tokens(self, scaled_P3YX: Tensor) -> Tensor:
        normed: Tensor = self.body.post_layernorm(super().tokens(scaled_P3YX))
        return normed


def open_clip(weights: Weights, size: int) -> ClipEncoder:
    body = load_body(weights, "CLIPVisionModel")
    size = picture_size(weights, size, body.config)
    return ClipEncoder(body, size, prefix=1, **colours(weights, MEAN, STD)).eval()
