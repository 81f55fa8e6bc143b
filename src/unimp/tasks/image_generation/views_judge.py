"""A judge of pictures where no attribute can be read from them: it tells pictures apart, and no more."""

# P pictures, Y rows and X columns of pixels

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from unimp.data.histories import FloatArray
from unimp.features.pixels import Pixels
from unimp.features.vision.contrastive import described, train_on_views
from unimp.model.vision import DescribingEncoder
from unimp.tasks.image_generation.attribute_judge import (
    JudgeAccuracy,
    JudgeConfig,
    resized_parts,
    shrunk_size,
)

WIDTH, EPOCHS = 128, 20
"""D, the width of a descriptor, and passes over the pictures; `train_on_views` ends after 400 steps."""


@dataclass(frozen=True)
class ViewsJudge:
    """Reads no attribute; its features are those of a network that was trained to know two views of one
    picture from views of others (`features.vision.contrastive`)."""

    network: DescribingEncoder
    size: tuple[int, int]
    """Rows and columns of the pictures it works on."""
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    examinations: tuple[JudgeAccuracy, ...] = ()

    def read(self, pictures: npt.NDArray[np.uint8]) -> dict[str, list[str]]:
        """Nothing."""
        return {}

    def features(self, pictures: npt.NDArray[np.uint8]) -> FloatArray:
        """[N, D] descriptors of pictures [N, Y, X, 3] of any size."""
        if not len(pictures):
            return np.zeros((0, WIDTH), dtype=np.float32)
        with torch.inference_mode():
            parts = [described(self.network, part) for part in resized_parts(pictures, self.size)]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def train_views_judge(pixels: Pixels, *, seed: int, show: bool) -> ViewsJudge:
    """Trained on the pictures alone; deterministic by seed."""
    size = shrunk_size(pixels.values.shape, JudgeConfig().height)
    parts = [
        (part * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1)
        for part in resized_parts(pixels.values, size)
    ]
    small = replace(pixels, values=torch.cat(parts).numpy())
    return ViewsJudge(train_on_views(small, WIDTH, EPOCHS, seed=seed, show=show), size)
