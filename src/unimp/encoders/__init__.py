"""Pretrained encoders of pictures and of text. A new family is one file, one line here, and one test.

Nothing is imported, read or downloaded before an encoder is asked for by name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unimp.encoders.weights import Weights, find_weights

if TYPE_CHECKING:
    from unimp.encoders.sentences import SentenceModel
    from unimp.encoders.vision import VisionEncoder

OTHERS = "*"
VISION: dict[str, str] = {
    "efficientnet-lite0": "unimp.encoders.efficientnet:open_lite0",
    "clip": "unimp.encoders.clip:open_clip",
    "clip_vision_model": "unimp.encoders.clip:open_clip",
    "siglip": "unimp.encoders.siglip:open_siglip",
    "siglip_vision_model": "unimp.encoders.siglip:open_siglip",
    "dinov2": "unimp.encoders.dino:open_dinov2",
    "dinov2_with_registers": "unimp.encoders.dino:open_dinov2_with_registers",
    OTHERS: "unimp.encoders.other_vision:open_other",
}
"""Family of the weights (a package's, or `model_type` of a folder's config.json) -> what opens it."""
TEXT: dict[str, str] = {OTHERS: "unimp.encoders.sentences:open_sentences"}


def opener(table: dict[str, str], family: str) -> Any:
    module, attribute = table.get(family, table[OTHERS]).split(":")
    return getattr(importlib.import_module(module), attribute)


def open_vision(weights: Weights, size: int = 0) -> VisionEncoder:
    """The picture encoder that reads squares of `size` pixels; 0: the size it was trained at."""
    encoder: VisionEncoder = opener(VISION, weights.family)(weights, size)
    return encoder


def open_text(weights: Weights) -> SentenceModel:
    """The sentence encoder."""
    model: SentenceModel = opener(TEXT, weights.family)(weights)
    return model


__all__ = ["TEXT", "VISION", "Weights", "find_weights", "open_text", "open_vision"]
