"""Gated cross-attention: tokens read the pictures that the mask M lets them see."""

# N seeing tokens, G groups of tokens with the same pictures, L slots per group, M pictures per group,
# P pictures of the batch, V visual tokens per picture, D text width, E visual width, H heads, K head width

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimp.core.errors import ConfigError


@dataclass(frozen=True)
class View:
    """Mask M in sparse form: which token (flat position) belongs to which group, which group sees what."""

    positions_N: Tensor
    group_N: Tensor
    slot_N: Tensor
    pictures_GM: Tensor
    """-1 where a group sees fewer than M pictures."""
    slots: int


class GatedCrossAttention(nn.Module):
    """Let each token read its pictures; the identity at initialisation (UniMP eq. 1, gates of Flamingo)."""

    def __init__(
        self, width: int, visual_width: int, heads: int, dropout: float, inner: int | None = None
    ) -> None:
        """`inner`: width of queries, keys and values, split among the heads; `width` when not given."""
        super().__init__()
        inner = inner or width
        if inner % heads:
            raise ConfigError(f"model.heads is {heads}, which does not divide {inner}; take one that does")
        self.heads = heads
        self.dropout = dropout
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key_value = nn.Linear(visual_width, 2 * inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)
        self.gate = nn.Parameter(torch.zeros(1))

    def keys_values(self, visual_PVE: Tensor) -> Tensor:
        """[P, V, 2, H, K]: projected once per picture, however many tokens look at it."""
        pictures, tokens, _ = visual_PVE.shape
        return self.key_value(visual_PVE).view(pictures, tokens, 2, self.heads, -1)

    def forward(self, x_BTD: Tensor, keys_values_PV2HK: Tensor, views: tuple[View, ...]) -> Tensor:
        flat = x_BTD.reshape(-1, x_BTD.shape[-1])
        update = torch.zeros_like(flat)
        for view in views:
            seen = self._attend(flat.index_select(0, view.positions_N), keys_values_PV2HK, view)
            update = update.index_copy(0, view.positions_N, seen)
        return x_BTD + torch.tanh(self.gate) * update.view_as(x_BTD)

    def _attend(self, x_ND: Tensor, keys_values_PV2HK: Tensor, view: View) -> Tensor:
        groups, most = view.pictures_GM.shape
        q_ND = self.query(self.norm(x_ND))
        place_N = view.group_N * view.slots + view.slot_N
        q_GLD = q_ND.new_zeros(groups * view.slots, q_ND.shape[-1]).index_copy(0, place_N, q_ND)
        q_GHLK = q_GLD.view(groups, view.slots, self.heads, -1).transpose(1, 2)
        present_GM = view.pictures_GM >= 0
        # index_select: on the CPU its gradient is many times cheaper than that of fancy indexing.
        chosen = keys_values_PV2HK.index_select(0, view.pictures_GM.clamp(min=0).flatten())
        gathered = chosen.view(groups, -1, *keys_values_PV2HK.shape[2:])  # [G, M * V, 2, H, K]
        k_GHSK, v_GHSK = gathered.permute(2, 0, 3, 1, 4)
        mask = None
        if most > 1:
            tokens = keys_values_PV2HK.shape[1]
            mask = present_GM.repeat_interleave(tokens, dim=1)[:, None, None, :]
        drop = self.dropout if self.training else 0.0
        y_GHLK = F.scaled_dot_product_attention(q_GHLK, k_GHSK, v_GHSK, attn_mask=mask, dropout_p=drop)
        y_ND = y_GHLK.transpose(1, 2).reshape(groups * view.slots, -1).index_select(0, place_N)
        return F.dropout(self.out(y_ND), self.dropout, self.training)
