"""Rows of tokens: trained from nothing, or a pretrained backbone's words with what is added to them."""

# D width

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unimp.model.backbones.huggingface import HuggingFaceBackbone
from unimp.model.backbones.tokens import BackboneTokens


class TokenTable(nn.Embedding):
    """Rows of the tokens that are trained from nothing, the same at input and output."""

    def __init__(self, num_tokens: int, width: int) -> None:
        super().__init__(num_tokens, width)
        nn.init.normal_(self.weight, std=0.02)
        self.scale = width**0.5
        """With which vectors of tokens and items are multiplied before the decoder."""

    def rows(self, first: int, stop: int) -> Tensor:
        """[stop - first, D] rows at the output."""
        return self.weight[first:stop]

    def as_item(self, token: int) -> Tensor:
        """[D] the row of a token that stands among items."""
        return self.weight[token]


@dataclass(frozen=True)
class LanguageSide:
    """A pretrained backbone and its words."""

    decoder: HuggingFaceBackbone
    tokens: BackboneTokens
