"""Pretrained encoders of pictures and of text. A new family is one file, one line here, and one test.

Nothing is imported, read or downloaded before an encoder is asked for by name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unimp.core.weights import Weights, find_weights

if TYPE_CHECKING:
    from unimp.features.sentence_model import SentenceModel
    from unimp.features.vision.grid_encoder import GridEncoder

OTHERS = "*"
VISION: dict[str, str] = {
    "efficientnet-lite0": "unimp.features.vision.efficientnet:open_lite0",
    "clip": "unimp.features.vision.clip:open_clip",
    "clip_vision_model": "unimp.features.vision.clip:open_clip",
    "siglip": "unimp.features.vision.siglip:open_siglip",
    "siglip_vision_model": "unimp.features.vision.siglip:open_siglip",
    "dinov2": "unimp.features.vision.dino:open_dinov2",
    "dinov2_with_registers": "unimp.features.vision.dino:open_dinov2_with_registers",
    OTHERS: "unimp.features.vision.generic:open_other",
}
"""Family of the weights (a package's, or `model_type` of a folder's config.json) -> what opens it."""
TEXT: dict[str, str] = {OTHERS: "unimp.features.sentence_model:open_sentences"}


def opener(table: dict[str, str], family: str) -> Any:
    module, attribute = table.get(family, table[OTHERS]).split(":")
    return getattr(importlib.import_module(module), attribute)


def open_vision(weights: Weights, size: int = 0) -> GridEncoder:
    """The picture encoder that reads squares of `size` pixels; 0: the size it was trained at."""
    encoder: GridEncoder = opener(VISION, weights.family)(weights, size)
    return encoder


def open_text(weights: Weights) -> SentenceModel:
    """The sentence encoder."""
    model: SentenceModel = opener(TEXT, weights.family)(weights)
    return model


__all__ = ["TEXT", "VISION", "Weights", "find_weights", "open_text", "open_vision"]
