"""`ItemTable`: an item's vector is its identity plus its projected content, the same at input and output."""

# I items, D width, F width of one content block

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

ROWS = 2**17
"""Rows of half-precision content that are converted at a time."""


class ItemTable(nn.Module):
    """item i -> identity[i] + Σ_blocks project(content_i).

    An item that was not trained keeps identity 0 and is known by its content alone. `identity_dropout`
    hides whole identities while training, so that the content learns to stand alone; at 1 there are none.
    """

    def __init__(
        self, num_items: int, width: int, content_widths: Mapping[str, int], identity_dropout: float
    ) -> None:
        super().__init__()
        self.identity = nn.Embedding(num_items, width)
        # Without a gradient, zeros stay zeros.
        nn.init.normal_(self.identity.weight, std=0.02 if identity_dropout < 1 else 0.0)
        self.identity_dropout = identity_dropout
        self.projections = nn.ModuleDict(
            {name: nn.Linear(wide, width, bias=False) for name, wide in content_widths.items()}
        )
        for projection in self.projections.values():
            assert isinstance(projection, nn.Linear)
            nn.init.normal_(projection.weight, std=0.02)

    @torch.no_grad()
    def forget_identities(self, kept_rows: Tensor) -> None:
        """Set every other item's identity to zero: known by content alone."""
        kept = torch.zeros(len(self.identity.weight), dtype=torch.bool, device=kept_rows.device)
        kept[kept_rows] = True
        self.identity.weight *= kept[:, None]

    def vectors(self, content: Mapping[str, Tensor], identity_ID: Tensor | None = None) -> Tensor:
        """[I, D] items' vectors; `content` maps each block's name to its [I, F] values.

        `identity_ID`: the identities of the items that `content` describes; None: it describes all.
        """
        table = self.identity.weight if identity_ID is None else identity_ID
        if self.training and self.identity_dropout:
            kept = torch.rand(len(table), 1, device=table.device) >= self.identity_dropout
            table = table * kept
        for name, projection in self.projections.items():
            table = table + projected(projection, content[name])
        return table

    def known_by_content(self, content: Mapping[str, Tensor]) -> Tensor:
        """[N, D] of items without identity: the parts of the blocks that `content` gives."""
        parts = [projected(self.projections[name], block) for name, block in content.items()]
        return torch.stack(parts).sum(dim=0)


def projected(projection: nn.Module, block_IF: Tensor) -> Tensor:
    """[I, D]. A block in half precision (memory-mapped, on the CPU) is converted some rows at a time."""
    if block_IF.dtype != torch.float16:
        vectors: Tensor = projection(block_IF)
        return vectors
    device = next(projection.parameters()).device
    return torch.cat([projection(rows.to(device, torch.float32)) for rows in block_IF.split(ROWS)])
