"""Pretrained encoders of pictures and of text. A new family is one file, one line here, and one test.

Or it is an `EncoderEntry` of another package, named by the entry point group `unimp.encoders`.

Nothing is imported, read or downloaded before an encoder is asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from unimp.core.registry import BrokenContract, Registry, imported
from unimp.core.weights import Weights, find_weights

if TYPE_CHECKING:
    from unimp.features.sentence_model import SentenceModel
    from unimp.features.vision.encoder import VisionEncoder

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


@dataclass(frozen=True)
class EncoderEntry:
    """An encoder of another package; the entry point is named after the family of the weights."""

    reads: Literal["vision", "text"]
    open: Callable[..., Any]
    """For pictures (Weights, size) -> VisionEncoder, for text (Weights) -> SentenceModel."""


def checked_encoder(name: str, found: Any) -> EncoderEntry:
    """The entry of an encoder from another package; BrokenContract when it is none."""
    if not isinstance(found, EncoderEntry) or not callable(found.open):
        raise BrokenContract("is no EncoderEntry of unimp.features.encoders; name one")
    if name in VISION or name in TEXT:
        raise BrokenContract("the family is UniMP's own; rename the entry point")
    return found


EXTENSIONS: Registry[EncoderEntry] = Registry("encoder", "unimp.encoders", {}, checked_encoder)
"""Families of other packages."""


def opener(reads: Literal["vision", "text"], table: dict[str, str], family: str) -> Any:
    """What opens weights of that family: our own, an extension's, or the general one."""
    if family not in table and family in EXTENSIONS and EXTENSIONS[family].reads == reads:
        return EXTENSIONS[family].open
    return imported(table.get(family, table[OTHERS]))


def open_vision(weights: Weights, size: int = 0) -> VisionEncoder:
    """The picture encoder that reads squares of `size` pixels; 0: the size it was trained at."""
    encoder: VisionEncoder = opener("vision", VISION, weights.family)(weights, size)
    return encoder


def open_text(weights: Weights) -> SentenceModel:
    """The sentence encoder."""
    model: SentenceModel = opener("text", TEXT, weights.family)(weights)
    return model


__all__ = [
    "EXTENSIONS",
    "TEXT",
    "VISION",
    "EncoderEntry",
    "Weights",
    "find_weights",
    "open_text",
    "open_vision",
]
