"""`UnimpModel`: backbone, cross-attention at every layer, item table and token table in one module."""

# B sentences, T positions, D width, I items, W tokens, P pictures, V visual tokens, E visual width

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.core.config import Config
from unimp.model.backbones.huggingface import HuggingFaceBackbone
from unimp.model.backbones.tokens import BackboneTokens
from unimp.model.cross_attention import GatedCrossAttention
from unimp.model.decoder import CompactDecoder, KVCache
from unimp.model.inputs import Inputs, ItemInputs, ItemState
from unimp.model.item_table import ItemTable
from unimp.model.resampler import Resampler
from unimp.model.token_table import LanguageSide, TokenTable
from unimp.model.vision import pixels_from_bytes, pool_tokens


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
    identity_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of items whose identity is hidden at each step."""
    cross_attention: bool = True
    """Let tokens read pictures; off for the image-blind ablation and for catalogues without pictures."""
    cross_attention_every: int = Field(1, ge=1)
    """Cross-attention before every so many-th decoder layer."""
    cross_attention_width: int = Field(0, ge=0)
    """Width within cross-attention; 0: that of the decoder's layers. `heads` must divide it."""


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
        vision: nn.Module | None = None,
        resampler: int = 0,
        language: LanguageSide | None = None,
    ) -> None:
        """`visual_width`: width of a visual token, None for a model without pictures; `vision`: the encoder
        that is trained with it, None for a frozen one; `resampler`: learned queries that take the place of a
        picture's tokens, 0 for none; `language`: a pretrained backbone and its words."""
        super().__init__()
        self.config = config
        sees = config.cross_attention and visual_width is not None
        self.vision = vision
        self.resampler = Resampler(visual_width, resampler) if sees and visual_width and resampler else None
        if visual_width is not None and pooled_pictures:
            content_widths = {**content_widths, "picture": 2 * visual_width}
            # Pooled tokens of different pictures are much alike: only what sets them apart is content.
            self.picture_norm = nn.BatchNorm1d(2 * visual_width, affine=False)
        self.width = config.width if language is None else language.decoder.width
        self.items = ItemTable(num_items, self.width, content_widths, config.identity_dropout)
        if language is None:
            self.tokens: TokenTable | BackboneTokens = TokenTable(num_tokens, config.width)
            self.decoder: CompactDecoder | HuggingFaceBackbone = CompactDecoder(
                config.width, config.layers, config.heads, config.hidden, config.dropout
            )
        else:
            self.tokens, self.decoder = language.tokens, language.decoder
        self.cross_attention = nn.ModuleList(
            GatedCrossAttention(
                self.decoder.layer_width,
                visual_width or 1,
                config.heads,
                config.dropout,
                config.cross_attention_width or self.decoder.layer_width,
            )
            for _ in range(self.decoder.num_layers // config.cross_attention_every if sees else 0)
        )
        self.scale = nn.Parameter(torch.tensor(1.0 / self.decoder.hidden_size))

    def item_state(self, items: ItemInputs, identity_ID: Tensor | None = None) -> ItemState:
        """Every item's vector, and its visual tokens: computed once per forward pass, shared by all.

        `identity_ID`: the identities of the items of `items`, where those are not the whole catalogue.
        """
        visual_IVE = items.visual_IVE
        if self.vision is not None and items.pixels_IYX3 is not None:
            visual_IVE = self.vision(pixels_from_bytes(items.pixels_IYX3))
        content = dict(items.content)
        pictures_ID = None
        if visual_IVE is not None and "picture" in self.items.projections:
            content["picture"] = self.pooled_pictures(visual_IVE, items.has_picture_I, items.pooled_IP)
            pictures_ID = self.items.projections["picture"](content["picture"])
        return ItemState(self.items.vectors(content, identity_ID), visual_IVE, pictures_ID)

    def with_outside(self, state: ItemState, visual_XVE: Tensor) -> ItemState:
        """The state with further pictures, shown but not of the catalogue (an uploaded query)."""
        pictures_ID = state.pictures_ID
        if pictures_ID is not None:
            shown = visual_XVE.new_ones(len(visual_XVE), dtype=torch.bool)
            pooled = self.pooled_pictures(visual_XVE, shown)
            pictures_ID = torch.cat((pictures_ID, self.items.projections["picture"](pooled)))
        return replace(state, pictures_ID=pictures_ID, outside_XVE=visual_XVE)

    def pooled_pictures(
        self, visual_IVE: Tensor, has_picture_I: Tensor | None, pooled_IP: Tensor | None = None
    ) -> Tensor:
        """[I, 2E] mean and maximum of each picture, standardised over all pictures; 0 where there is none."""
        assert has_picture_I is not None
        rows = has_picture_I.nonzero()[:, 0]
        pooled = pool_tokens(visual_IVE.index_select(0, rows)) if pooled_IP is None else pooled_IP[rows]
        norm = self.picture_norm
        if self.training and len(rows) < 2:  # of a step that touches few items; one row has no variance
            pooled = F.batch_norm(pooled, norm.running_mean, norm.running_var, eps=norm.eps)
        else:
            pooled = norm(pooled)
        scaled = pooled / pooled.shape[-1] ** 0.5  # about unit length, like every other block of content
        return scaled.new_zeros(len(has_picture_I), scaled.shape[-1]).index_copy(0, rows, scaled)

    def embed(self, inputs: Inputs, state: ItemState) -> Tensor:
        """[B, T, D]: an item's vector, a ghost's vector, and the mean of a position's tokens."""
        batch, length = inputs.items_BT.shape
        items_BT = inputs.items_BT
        x_BTD = F.embedding(items_BT.clamp(min=0), state.table_ID) * (items_BT >= 0).unsqueeze(-1)
        words_ND = self.tokens(inputs.tokens_N) * inputs.token_shares_N.unsqueeze(-1)
        flat = x_BTD.reshape(batch * length, -1).index_add(0, inputs.token_positions_N, words_ND)
        if len(inputs.ghost_pictures_G):
            places = (items_BT.flatten() <= -2).nonzero()[:, 0]
            ghosts_GD = self.ghost_vectors(inputs, state)
            flat = flat.index_add(0, places, ghosts_GD[-2 - items_BT.flatten()[places]])
        x_BTD = flat.view(batch, length, -1) * self.tokens.scale
        return F.dropout(x_BTD, self.config.input_dropout, self.training)

    def ghost_vectors(self, inputs: Inputs, state: ItemState) -> Tensor:
        """[G, D] what is known of each query, through the projections that make the items' vectors."""
        rows_G = inputs.ghost_pictures_G
        ghosts_GD = state.table_ID.new_zeros(len(rows_G), self.width)
        if inputs.ghost_text_GF is not None and "text" in self.items.projections:
            ghosts_GD = ghosts_GD + self.items.projections["text"](inputs.ghost_text_GF)
        if state.pictures_ID is not None:
            pictures_GD = state.pictures_ID.index_select(0, rows_G.clamp(min=0))
            ghosts_GD = ghosts_GD + pictures_GD * (rows_G >= 0).unsqueeze(-1)
        return ghosts_GD

    def learned_state(self) -> dict[str, Tensor]:
        """All that training changes: without the weights that a frozen backbone came with."""
        given = self.given_names()
        return {name: tensor for name, tensor in self.state_dict().items() if name not in given}

    def load_learned(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `learned_state` gave; RuntimeError when it is of another shape."""
        found = self.load_state_dict(tensors, strict=False)
        wrong = [*found.unexpected_keys, *(set(found.missing_keys) - self.given_names())]
        if wrong:
            raise RuntimeError(f"{len(wrong)} parts differ, such as {sorted(wrong)[0]}")

    def given_names(self) -> set[str]:
        """Names of the weights that a backbone came with and that do not learn."""
        return {
            name
            for name, parameter in self.named_parameters()
            if name.startswith(("decoder.", "tokens.")) and not parameter.requires_grad
        }

    def look(self, visual_PVE: Tensor | None) -> tuple[Tensor, ...]:
        """Keys and values of each picture at every layer: made once, however many tokens will read them."""
        blocks = [block for block in self.cross_attention if isinstance(block, GatedCrossAttention)]
        if visual_PVE is not None and self.resampler is not None:
            visual_PVE = self.resampler(visual_PVE)
        return () if visual_PVE is None else tuple(block.keys_values(visual_PVE) for block in blocks)

    def forward(
        self,
        inputs: Inputs,
        state: ItemState,
        pictures: tuple[Tensor, ...] = (),
        cache: KVCache | None = None,
    ) -> Tensor:
        """[B, T, D] hidden states; `pictures` is what `look` made, one entry per layer, or nothing."""
        x_BTD = self.embed(inputs, state)
        if not pictures or not inputs.views:
            return self.decoder(x_BTD, cache)

        def read_pictures(layer: int, x: Tensor) -> Tensor:
            crossing = self.crossing(layer)
            if crossing is None:
                return x
            seen: Tensor = self.cross_attention[crossing](x, pictures[crossing], inputs.views)
            return seen

        return self.decoder(x_BTD, cache, read_pictures)

    def crossing(self, layer: int) -> int | None:
        """Which cross-attention stands before a decoder layer; None: none does."""
        number, rest = divmod(layer + 1, self.config.cross_attention_every)
        return None if rest else number - 1

    def gates(self) -> list[float]:
        """tanh of every layer's cross-attention gate: 0 is closed."""
        blocks = [block for block in self.cross_attention if isinstance(block, GatedCrossAttention)]
        return [float(torch.tanh(block.gate.detach())) for block in blocks]

    def item_logits(self, hidden_ND: Tensor, table_ID: Tensor) -> Tensor:
        """[N, I]: the tied table scores every item."""
        return self.scale * hidden_ND @ table_ID.T

    def token_logits(self, hidden_ND: Tensor, first: int, stop: int) -> Tensor:
        """[N, stop - first] scores of the tokens from `first` up to `stop`."""
        return hidden_ND @ self.tokens.rows(first, stop).T

    def choice_logits(self, hidden_ND: Tensor, choices_NC: Tensor, table_ID: Tensor, end: int) -> Tensor:
        """[N, C] scores of the items of each row of `choices_NC`; -1 is no choice, -2 the token `end`."""
        vectors_NCD = F.embedding(choices_NC.clamp(min=0), table_ID)
        ends_NC1 = (choices_NC == -2).unsqueeze(-1)
        vectors_NCD = torch.where(ends_NC1, self.tokens.as_item(end), vectors_NCD)
        logits_NC = self.scale * torch.einsum("nd,ncd->nc", hidden_ND, vectors_NCD)
        return logits_NC.masked_fill(choices_NC == -1, -torch.inf)
