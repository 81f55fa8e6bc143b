"""`UnimpModel`: backbone, cross-attention at every layer, item table and token table in one module."""

# B sentences, T positions, D width, I items, W tokens, P pictures, V visual tokens, E visual width

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.config import Config
from unimp.model.cross_attention import GatedCrossAttention, View
from unimp.model.decoder import CompactDecoder, KVCache
from unimp.model.item_table import ItemTable
from unimp.model.vision import ConvEncoder, pixels_from_bytes


class ModelConfig(Config):
    """Size and regularisation of the compact model."""

    width: int = Field(64, ge=8)
    """Width D of tokens and items."""
    layers: int = Field(2, ge=1)
    """Decoder layers, each with its cross-attention."""
    heads: int = Field(2, ge=1)
    """Attention heads; must divide `width` into even parts."""
    hidden: int = Field(256, ge=8)
    """Width of the feed-forward layers."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Inside attention and feed-forward."""
    input_dropout: float = Field(0.3, ge=0, lt=1)
    """On the embedded sentence."""
    identity_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of items whose identity is hidden at each step."""
    cross_attention: bool = True
    """Let tokens read pictures; off for the image-blind ablation and for catalogues without pictures."""


@dataclass(frozen=True)
class Inputs:
    """A batch as the model sees it."""

    items_BT: Tensor
    """Item rows, -1 at positions that hold tokens."""
    tokens_N: Tensor
    token_positions_N: Tensor
    """Flat position b * T + t of each token."""
    token_shares_N: Tensor
    """1 / size of the token's bag."""
    views: tuple[View, ...]


@dataclass(frozen=True)
class ItemInputs:
    """What is known of every item before the model looks: frozen content, and pictures or their features."""

    content: Mapping[str, Tensor]
    """Block name -> [I, F]."""
    pixels_IYX3: Tensor | None = None
    """uint8 pictures, for a vision encoder that is trained along."""
    visual_IVE: Tensor | None = None
    """Visual tokens of a frozen encoder; on the CPU they may be a memory map."""
    has_picture_I: Tensor | None = None
    """bool."""
    log_popularity_I: Tensor | None = None
    """log(training events + 1)."""
    candidates: Tensor | None = None
    """Rows among which training looks for the next item; None: the whole catalogue."""


@dataclass(frozen=True)
class ItemState:
    """The item side of one forward pass."""

    table_ID: Tensor
    visual_IVE: Tensor | None


class UnimpModel(nn.Module):
    """Hidden states for sentences; scores for items and tokens. One device, no parallelism inside."""

    def __init__(
        self,
        config: ModelConfig,
        num_items: int,
        num_tokens: int,
        content_widths: Mapping[str, int],
        visual_width: int | None,
        *,
        pooled_pictures: bool = True,
        trains_vision: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        sees = config.cross_attention and visual_width is not None
        self.vision = ConvEncoder(visual_width) if trains_vision and visual_width is not None else None
        if visual_width is not None and pooled_pictures:
            content_widths = {**content_widths, "picture": 2 * visual_width}
            # Pooled tokens of different pictures are much alike: only what sets them apart is content.
            self.picture_norm = nn.BatchNorm1d(2 * visual_width, affine=False)
        width = config.width
        self.items = ItemTable(num_items, width, content_widths, config.identity_dropout)
        self.tokens = nn.Embedding(num_tokens, width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.decoder = CompactDecoder(width, config.layers, config.heads, config.hidden, config.dropout)
        self.cross_attention = nn.ModuleList(
            GatedCrossAttention(width, visual_width or 1, config.heads, config.dropout)
            for _ in range(config.layers if sees else 0)
        )
        self.scale = nn.Parameter(torch.tensor(1.0))

    def item_state(self, items: ItemInputs) -> ItemState:
        """Every item's vector, and its visual tokens: computed once per forward pass, shared by all."""
        visual_IVE = items.visual_IVE
        if self.vision is not None and items.pixels_IYX3 is not None:
            visual_IVE = self.vision(pixels_from_bytes(items.pixels_IYX3))
        content = dict(items.content)
        if visual_IVE is not None and "picture" in self.items.projections and "picture" not in content:
            content["picture"] = self.pooled_pictures(visual_IVE, items.has_picture_I)
        return ItemState(self.items.vectors(content), visual_IVE)

    def pooled_pictures(self, visual_IVE: Tensor, has_picture_I: Tensor | None) -> Tensor:
        """[I, 2E] mean and maximum of each picture, standardised over all pictures; 0 where there is none."""
        assert has_picture_I is not None
        rows = has_picture_I.nonzero()[:, 0]
        tokens = visual_IVE.index_select(0, rows).float()
        pooled = self.picture_norm(torch.cat((tokens.mean(dim=1), tokens.amax(dim=1)), dim=-1))
        scaled = pooled / pooled.shape[-1] ** 0.5  # about unit length, like every other block of content
        return scaled.new_zeros(len(visual_IVE), scaled.shape[-1]).index_copy(0, rows, scaled)

    def embed(self, inputs: Inputs, table_ID: Tensor) -> Tensor:
        """[B, T, D]: an item's vector, or the mean of a position's tokens."""
        batch, length = inputs.items_BT.shape
        x_BTD = F.embedding(inputs.items_BT.clamp(min=0), table_ID) * (inputs.items_BT >= 0).unsqueeze(-1)
        words_ND = self.tokens(inputs.tokens_N) * inputs.token_shares_N.unsqueeze(-1)
        flat = x_BTD.reshape(batch * length, -1).index_add(0, inputs.token_positions_N, words_ND)
        x_BTD = flat.view(batch, length, -1) * self.config.width**0.5
        return F.dropout(x_BTD, self.config.input_dropout, self.training)

    def forward(
        self,
        inputs: Inputs,
        table_ID: Tensor,
        visual_PVE: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """[B, T, D] hidden states; visual keys and values are computed once per picture and layer."""
        x_BTD = self.embed(inputs, table_ID)
        if visual_PVE is None or not inputs.views or not len(self.cross_attention):
            return self.decoder(x_BTD, cache)

        def read_pictures(layer: int, x: Tensor) -> Tensor:
            block = self.cross_attention[layer]
            assert isinstance(block, GatedCrossAttention)
            return block(x, block.keys_values(visual_PVE), inputs.views)

        return self.decoder(x_BTD, cache, read_pictures)

    def gates(self) -> list[float]:
        """tanh of every layer's cross-attention gate: 0 is closed."""
        blocks = [block for block in self.cross_attention if isinstance(block, GatedCrossAttention)]
        return [float(torch.tanh(block.gate.detach())) for block in blocks]

    def item_logits(self, hidden_ND: Tensor, table_ID: Tensor) -> Tensor:
        """[N, I]: the tied table scores every item."""
        return self.scale * hidden_ND @ table_ID.T

    def token_logits(self, hidden_ND: Tensor) -> Tensor:
        """[N, W]."""
        return hidden_ND @ self.tokens.weight.T
