"""`UnimpModel`: backbone, cross-attention at every layer, item table and token table in one module."""

# B sentences, T positions, D width, K width of likeness, W = D + K width of an answer, I items, P pictures,
# X pictures from outside too, V visual tokens, E visual width, C width of a block of content, S all positions

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimp.model.backbones.huggingface import HuggingFaceBackbone
from unimp.model.backbones.tokens import BackboneTokens
from unimp.model.config import ModelConfig
from unimp.model.cross_attention import GatedCrossAttention
from unimp.model.decoder import CompactDecoder, KVCache
from unimp.model.inputs import Inputs, ItemInputs, ItemState
from unimp.model.item_table import ItemTable
from unimp.model.likeness import HistoryItems, LikenessHead, packed
from unimp.model.picture_content import DescribedPictures, PooledPictures
from unimp.model.resampler import Resampler
from unimp.model.token_table import LanguageSide, TokenTable
from unimp.model.vision import pixels_from_bytes


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
        described_pictures: bool = False,
        vision: nn.Module | None = None,
        resampler: int = 0,
        language: LanguageSide | None = None,
    ) -> None:
        """`visual_width`: width of a visual token, None for a model without pictures; `described_pictures`:
        the first token describes the whole picture, which is its content then; `vision`: the encoder
        that is trained with it, None for a frozen one; `resampler`: learned queries that take the place of a
        picture's tokens, 0 for none; `language`: a pretrained backbone and its words."""
        super().__init__()
        self.config = config
        sees = config.cross_attention and visual_width is not None
        self.vision = vision
        self.resampler = Resampler(visual_width, resampler) if sees and visual_width and resampler else None
        self.described_pictures = described_pictures
        if visual_width is not None and pooled_pictures:
            wide = visual_width if described_pictures else 2 * visual_width
            content_widths = {**content_widths, "picture": wide}
            self.picture_norm = DescribedPictures() if described_pictures else PooledPictures(wide)
        self.width = config.width if language is None else language.decoder.width
        self.items = ItemTable(num_items, self.width, content_widths, config.identity_dropout)
        if language is None:
            self.tokens: TokenTable | BackboneTokens = TokenTable(num_tokens, config.width)
            self.decoder: CompactDecoder | HuggingFaceBackbone = CompactDecoder(
                config.width,
                config.layers,
                config.heads,
                config.hidden,
                config.dropout,
                config.filter_share,
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
        alike = {name: content_widths[name] for name in ("picture", "text") if name in content_widths}
        self.likeness = (
            LikenessHead(self.width, alike, config.likeness) if config.likeness and alike else None
        )

    @property
    def answer_width(self) -> int:
        """W: of what answers are sought with, and of what each item is sought by."""
        return self.width + (0 if self.likeness is None else self.likeness.width)

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
            content["picture"] = self.picture_norm(visual_IVE, items.has_picture_I, items.pooled_IP)
            pictures_ID = self.picture_parts(content["picture"])
        vectors_ND = self.items.vectors(content, identity_ID)
        return ItemState(self.with_likeness(vectors_ND, content), visual_IVE, pictures_ID)

    def with_likeness(self, vectors_ND: Tensor, content: Mapping[str, Tensor]) -> Tensor:
        """[N, W] items' vectors, and behind them what the likeness head reads of their `content`."""
        if self.likeness is None:
            return vectors_ND
        return torch.cat((vectors_ND, self.likeness.vectors(content, vectors_ND)), dim=-1)

    def picture_parts(self, pooled_NC: Tensor) -> Tensor:
        """[N, D + the picture's block] what pictures add to their items' vectors, and what they are like."""
        parts: Tensor = self.items.projections["picture"](pooled_NC)
        if self.likeness is None:
            return parts
        return torch.cat((parts, self.likeness.project("picture", pooled_NC)), dim=-1)

    def unit_pictures(self, pictures_XD: Tensor) -> Tensor:
        """[X, ·] unit rows that pictures are compared by: their blocks of the likeness head, or what they add
        to their items' vectors."""
        compared = pictures_XD[:, self.width :] if pictures_XD.shape[1] > self.width else pictures_XD
        return F.normalize(compared.float(), dim=-1)

    def with_outside(self, state: ItemState, visual_XVE: Tensor) -> ItemState:
        """The state with further pictures, shown but not of the catalogue (an uploaded query)."""
        pictures_ID = state.pictures_ID
        if pictures_ID is not None:
            shown = visual_XVE.new_ones(len(visual_XVE), dtype=torch.bool)
            pictures_ID = torch.cat((pictures_ID, self.picture_parts(self.picture_norm(visual_XVE, shown))))
        return replace(state, pictures_ID=pictures_ID, outside_XVE=visual_XVE)

    def embed(self, inputs: Inputs, state: ItemState) -> Tensor:
        """[B, T, D]: an item's vector, a query item's vector, and the mean of a position's tokens."""
        batch, length = inputs.items_BT.shape
        items_BT = inputs.items_BT
        vectors_ID = state.table_ID[:, : self.width]
        x_BTD = F.embedding(items_BT.clamp(min=0), vectors_ID) * (items_BT >= 0).unsqueeze(-1)
        words_ND = self.tokens(inputs.tokens_N) * inputs.token_shares_N.unsqueeze(-1)
        flat = x_BTD.reshape(batch * length, -1).index_add(0, inputs.token_positions_N, words_ND)
        if len(inputs.query_pictures_G):
            places = (items_BT.flatten() <= -2).nonzero()[:, 0]
            queries_GD = self.query_vectors(inputs, state)
            flat = flat.index_add(0, places, queries_GD[-2 - items_BT.flatten()[places]])
        x_BTD = flat.view(batch, length, -1) * self.tokens.scale
        return F.dropout(x_BTD, self.config.input_dropout, self.training)

    def query_vectors(self, inputs: Inputs, state: ItemState) -> Tensor:
        """[G, D] what is known of each query, through the projections that make the items' vectors."""
        rows_G = inputs.query_pictures_G
        queries_GD = state.table_ID.new_zeros(len(rows_G), self.width)
        if inputs.query_text_GF is not None and "text" in self.items.projections:
            queries_GD = queries_GD + self.items.projections["text"](inputs.query_text_GF)
        if state.pictures_ID is not None:
            pictures_GD = state.pictures_ID[:, : self.width].index_select(0, rows_G.clamp(min=0))
            queries_GD = queries_GD + pictures_GD * (rows_G >= 0).unsqueeze(-1)
        return queries_GD

    def query_likeness(self, inputs: Inputs, state: ItemState) -> Tensor:
        """[G, K] what the likeness head reads of each query."""
        assert self.likeness is not None
        rows_G, parts = inputs.query_pictures_G, []
        for name, wide in self.likeness.widths.items():
            if name == "text" and inputs.query_text_GF is not None:
                parts.append(self.likeness.project("text", inputs.query_text_GF))
            elif name == "picture" and state.pictures_ID is not None:
                shown_GK = state.pictures_ID[:, self.width :].index_select(0, rows_G.clamp(min=0))
                parts.append(shown_GK * (rows_G >= 0).unsqueeze(-1))
            else:
                parts.append(state.table_ID.new_zeros(len(rows_G), wide))
        return torch.cat(parts, dim=-1)

    def answers(
        self, hidden_BTD: Tensor, inputs: Inputs, state: ItemState, before_BS: Tensor | None = None
    ) -> Tensor:
        """[B, T, W] hidden states, and behind them what the likeness head seeks.

        before_BS: item rows of the positions before the batch's, -1 where none is read.
        """
        if self.likeness is None:
            return hidden_BTD
        rows_BT = torch.full_like(inputs.items_BT, -1)
        if inputs.read_BT is not None:
            rows_BT = inputs.items_BT.where(inputs.read_BT, rows_BT)
        rows_BP = rows_BT if before_BS is None else torch.cat((before_BS, rows_BT), dim=1)
        rows_BS, shown_BTS = packed(rows_BP, rows_BT.shape[1])
        read_BSW = F.embedding(rows_BS.clamp(min=0), state.table_ID) * (rows_BS >= 0).unsqueeze(-1)
        queries_BS = rows_BS <= -2
        if len(inputs.query_pictures_G) and bool(queries_BS.any()):
            queries_GD, alike_GK = self.query_vectors(inputs, state), self.query_likeness(inputs, state)
            places = queries_BS.flatten().nonzero()[:, 0]
            queries_NW = torch.cat((queries_GD, alike_GK), dim=-1)[-2 - rows_BS.flatten()[places]]
            flat = read_BSW.flatten(0, 1).index_add(0, places, queries_NW)
            read_BSW = flat.view_as(read_BSW)
        vectors_BSD, alike_BSK = read_BSW.split([self.width, self.likeness.width], dim=-1)
        sought_BTK = self.likeness(hidden_BTD, HistoryItems(vectors_BSD, alike_BSK, queries_BS, shown_BTS))
        return torch.cat((hidden_BTD, sought_BTK), dim=-1)

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

    def sought(self, answers_NW: Tensor) -> Tensor:
        """[N, W] whose products with the items' rows are their scores."""
        if self.likeness is None:
            return self.scale * answers_NW
        return torch.cat((self.scale * answers_NW[:, : self.width], answers_NW[:, self.width :]), dim=-1)

    def item_logits(self, answers_NW: Tensor, table_ID: Tensor) -> Tensor:
        """[N, I]: the tied table scores every item."""
        return self.sought(answers_NW) @ table_ID.T

    def token_logits(self, hidden_ND: Tensor, first: int, stop: int) -> Tensor:
        """[N, stop - first] scores of the tokens from `first` up to `stop`."""
        return hidden_ND[..., : self.width] @ self.tokens.rows(first, stop).T

    def choice_logits(self, answers_NW: Tensor, choices_NC: Tensor, table_ID: Tensor, end: int) -> Tensor:
        """[N, C] scores of the items of each row of `choices_NC`; -1 is no choice, -2 the token `end`."""
        vectors_NCW = F.embedding(choices_NC.clamp(min=0), table_ID)
        ends_NC1 = (choices_NC == -2).unsqueeze(-1)
        end_W = F.pad(self.tokens.as_item(end), (0, self.answer_width - self.width))
        vectors_NCW = torch.where(ends_NC1, end_W, vectors_NCW)
        logits_NC = torch.einsum("nw,ncw->nc", self.sought(answers_NW), vectors_NCW)
        return logits_NC.masked_fill(choices_NC == -1, -torch.inf)
