"""`ModelConfig`: the recipe's table `[model]`."""

from __future__ import annotations

from pydantic import Field

from unimp.core.config import Config


class ModelConfig(Config):
    """Size of the compact model, and what it has in common with one around a pretrained backbone."""

    width: int = Field(64, ge=8)
    """Width D of tokens and items; a backbone has its own."""
    layers: int = Field(2, ge=1)
    """Decoder layers; a backbone has its own."""
    heads: int = Field(2, ge=1)
    """Attention heads of decoder and cross-attention; must divide `width` into even parts. A backbone has its
    own: there they are the cross-attention's alone."""
    hidden: int = Field(256, ge=8)
    """Width of the feed-forward layers; a backbone has its own."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Inside attention, cross-attention and feed-forward; in a backbone's layers, its own configuration's."""
    input_dropout: float = Field(0.3, ge=0, lt=1)
    """On the embedded sentence."""
    identity_dropout: float = Field(0.0, ge=0, le=1)
    """Share of items whose identity is hidden at each step; 1: none has one, content alone speaks."""
    cross_attention: bool = True
    """Let tokens read pictures by gated cross-attention, beside what items' vectors say of them. The recipe
    `small` and those that stand on it have it off."""
    cross_attention_every: int = Field(1, ge=1)
    """Cross-attention before every so many-th decoder layer."""
    cross_attention_width: int = Field(0, ge=0)
    """Width within cross-attention; 0: that of the decoder's layers. `heads` must divide it."""
    filter_share: float = Field(0.0, ge=0, lt=1)
    """Share of a frequency filter in what a layer of the compact decoder adds, beside attention: the lowest
    frequencies of its input as they are, the others scaled as is learned (BSARec); 0: no filter."""
    likeness: int = Field(0, ge=0)
    """Beside its hidden state's product with an item, score how alike the item's picture and text are to the
    history's, each projected to at most so many numbers, which every item's answer vector is longer by;
    0: do not."""
