"""What the model is given: a batch, the items, and the item side of one forward pass."""

# B sentences, T positions, N tokens, G query items, I items, F width of a content block, V visual tokens per
# picture, E visual width, D width, X pictures from outside, P all pictures

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from unimp.model.cross_attention import View


@dataclass(frozen=True)
class Inputs:
    """A batch as the model sees it."""

    items_BT: Tensor
    """Item rows, -1 at positions that hold tokens, -2 - g for query item g."""
    tokens_N: Tensor
    token_positions_N: Tensor
    """Flat position b * T + t of each token."""
    token_shares_N: Tensor
    """1 / size of the token's bag."""
    views: tuple[View, ...]
    query_text_GF: Tensor | None
    """Text content of items without identity: queries. Position -2 - g of `items_BT` holds query item g."""
    query_pictures_G: Tensor
    """Rows of `ItemState.pictures_ID`, -1 for none."""
    read_BT: Tensor | None = None
    """bool: events of the history and queries, which the likeness head reads; None: none of these."""


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
    candidates: Tensor | None = None
    """Rows among which training looks for the next item; None: the whole catalogue."""
    log_shares: Tensor | None = None
    """Of each of these rows: log of how much it counts among the wrong answers; None: all count fully."""
    pooled_IP: Tensor | None = None
    """[I, 2E] mean and maximum of `visual_IVE`, where reading all of it at every step costs too much."""

    def at(self, rows_R: Tensor) -> ItemInputs:
        """The R items of these rows, on their device, in float32. Visual tokens stay those of all items."""

        def taken(table: Tensor) -> Tensor:
            return table[rows_R.to(table.device)].to(rows_R.device)

        optional = {"pixels_IYX3": self.pixels_IYX3, "has_picture_I": self.has_picture_I}
        return ItemInputs(
            {name: taken(block).float() for name, block in self.content.items()},
            visual_IVE=self.visual_IVE,
            pooled_IP=None if self.pooled_IP is None else taken(self.pooled_IP).float(),
            **{name: None if table is None else taken(table) for name, table in optional.items()},
        )


@dataclass(frozen=True)
class ItemState:
    """The item side of one forward pass."""

    table_ID: Tensor
    """What answers are sought in: every item's vector as the model reads it, and behind it, where the model
    has a likeness head, K numbers more."""
    visual_IVE: Tensor | None
    pictures_ID: Tensor | None = None
    """Every picture's part in its item's vector, then its block of the likeness head; those from outside the
    catalogue after the others."""
    outside_XVE: Tensor | None = None
    """Visual tokens of pictures that are not the catalogue's; their rows follow the catalogue's."""
