"""`[backbone]` and `[lora]` of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unimp.core.config import Config


class BackboneConfig(Config):
    """A pretrained causal language model instead of the compact decoder.

    It brings its layers, its words and its tokenizer: of `[model]`, `width`, `layers` and `hidden` are the
    compact decoder's alone, and so is all of `[tokenizer]`.
    """

    name: str = ""
    """`package:NAME` (an installed package that carries weights), a folder, a GGUF file or a hub id. Empty:
    the compact decoder."""
    train: Literal["frozen", "lora", "full"] = "frozen"
    """Which of its weights learn: none, low-rank adapters beside them (`[lora]`), or all. What is added to it
    (items, markers, ratings, picture codes, cross-attention) learns always."""
    lr_share: float = Field(0.1, gt=0, le=1)
    """Learning rate of its own weights or adapters, as a share of `train.lr`."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What its layers compute in; `auto`: bfloat16 where there is a CUDA device. Weights that learn, and all
    that is added, stay float32."""
    gradient_checkpointing: bool = False
    """Compute the layers twice instead of keeping what is in between: less memory, about a third slower."""
    compile: bool = False
    """Compile its layers with torch.compile; worth the minutes it takes in a long run on a GPU."""


class LoraConfig(Config):
    """Low-rank adapters (Hu et al., ICLR 2022), with `backbone.train = "lora"`."""

    rank: int = Field(16, ge=1)
    """Rank of each adapter."""
    alpha: float = Field(32.0, gt=0)
    """An adapter's output is scaled by alpha / rank."""
    dropout: float = Field(0.05, ge=0, lt=1)
    """On what an adapter reads."""
    modules: tuple[str, ...] = ()
    """Names of the linear layers that get one, such as `q_proj`; none given: all in the decoder's layers."""
