"""`LikenessHead`: how alike each history item's picture and text are to a candidate's, as one inner product.

Beside h · v an item scores Σ_blocks τ Σ_i a_i s_i · s_c: s are projected unit vectors of the block (picture,
text), a_i a learned attention over the history, τ a learned factor. τ Σ_i a_i s_i joins the hidden state and
s_c joins the item's vector, so that the catalogue is still scored by one matrix product. At the beginning the
projection is the identity and the attention even: the mean likeness, a nearest-neighbour rule. No item needs
an identity of its own for it.
"""

# B sentences, T positions read now, S events and queries of a sentence, D width, A width of keys,
# C width of a block of content, K width of all projected blocks, I items, N items or queries, P all positions

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KEY_WIDTH = 16
FACTOR = 8.0
"""τ at the beginning."""
LARGEST_LOG_FACTOR = 5.0
FACT_SCALE = 10.0
"""Of agreements of a history, which are small numbers, as τ learns from them."""


@dataclass(frozen=True)
class HistoryItems:
    """What the head reads: events and queries, oldest first; sentences with fewer are padded at the end."""

    vectors_BSD: Tensor
    """As they enter the model."""
    alike_BSK: Tensor
    """Projected blocks; zeros where an item lacks a block, and in padding."""
    queries_BS: Tensor
    """bool: a query, which is no event."""
    shown_BTS: Tensor
    """bool: stands at or before the position."""


class LikenessHead(nn.Module):
    """Memory: K numbers an item, and B · T · S · blocks while a batch is read."""

    def __init__(self, width: int, content_widths: Mapping[str, int], most: int) -> None:
        """`content_widths`: C of each block, in order; `most`: of each block's projection."""
        super().__init__()
        self.widths = {name: min(wide, most) for name, wide in content_widths.items()}
        self.projections = nn.ModuleDict(
            {name: nn.Linear(wide, self.widths[name], bias=False) for name, wide in content_widths.items()}
        )
        for projection in self.projections.values():
            assert isinstance(projection, nn.Linear)
            nn.init.eye_(projection.weight)
        blocks = len(self.widths)
        self.query = nn.Linear(width, blocks * KEY_WIDTH, bias=False)
        self.key = nn.Linear(width, blocks * KEY_WIDTH, bias=False)
        nn.init.zeros_(self.query.weight)
        self.recency = nn.Parameter(torch.zeros(blocks))
        self.query_bonus = nn.Parameter(torch.full((blocks,), 4.0))
        self.log_factor = nn.Linear(width + 2 * blocks, blocks)
        nn.init.zeros_(self.log_factor.weight)
        nn.init.constant_(self.log_factor.bias, math.log(FACTOR))

    @property
    def width(self) -> int:
        """K."""
        return sum(self.widths.values())

    def project(self, name: str, content_NC: Tensor) -> Tensor:
        """Unit rows of one block; zeros stay zeros."""
        projected: Tensor = F.normalize(self.projections[name](content_NC), dim=-1, eps=1e-6)
        return projected

    def vectors(self, content: Mapping[str, Tensor], like_ND: Tensor) -> Tensor:
        """[N, K] all blocks; zeros for those that `content` lacks. `like_ND`: gives N, type and device."""
        parts = [
            self.project(name, content[name]) if name in content else like_ND.new_zeros(len(like_ND), wide)
            for name, wide in self.widths.items()
        ]
        return torch.cat(parts, dim=-1)

    def forward(self, hidden_BTD: Tensor, history: HistoryItems) -> Tensor:
        """[B, T, K] τ Σ_i a_i s_i of every position, over what stands at or before it."""
        batch, length, _ = hidden_BTD.shape
        blocks = len(self.widths)
        q_BTbA = self.query(hidden_BTD).view(batch, length, blocks, KEY_WIDTH)
        k_BSbA = self.key(history.vectors_BSD).view(batch, -1, blocks, KEY_WIDTH)
        logits_bBTS = torch.einsum("btna,bsna->nbts", q_BTbA, k_BSbA) / KEY_WIDTH**0.5
        places = history.alike_BSK.split(list(self.widths.values()), dim=-1)
        shown_bBS = torch.stack([part.abs().amax(dim=-1) > 0 for part in places])
        read_BS = shown_bBS.any(dim=0)
        lags_BTS = lags(read_BS, history.shown_BTS)
        found, facts = [], []
        for block, part_BSK in enumerate(places):
            shown_BTS = shown_bBS[block][:, None] & history.shown_BTS
            logits_BTS = logits_bBTS[block] - F.softplus(self.recency[block] - 4.0) * lags_BTS
            logits_BTS = logits_BTS + self.query_bonus[block] * history.queries_BS[:, None]
            weights_BTS = masked_softmax(logits_BTS, shown_BTS)
            sum_BTK = weights_BTS @ part_BSK
            found.append(sum_BTK)
            facts += agreement(sum_BTK, weights_BTS)
        known = torch.cat((hidden_BTD, FACT_SCALE * torch.stack(facts, dim=-1)), dim=-1)
        factors_BTb = self.log_factor(known).clamp(max=LARGEST_LOG_FACTOR).exp()
        return torch.cat(
            [found[block] * factors_BTb[..., block : block + 1] for block in range(blocks)], dim=-1
        )


def packed(rows_BP: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """[B, S] what is not -1 of each row, in order, then -1; and bool [B, T, S]: it stands at or before each
    of the last `length` places. Of a sentence of words few places are read: S is far less than P."""
    read_BP = rows_BP != -1
    most = max(1, int(read_BP.sum(dim=1).max()))
    places_BS = (~read_BP).to(torch.int8).argsort(dim=1, stable=True)[:, :most]
    now_T = torch.arange(rows_BP.shape[1] - length, rows_BP.shape[1], device=rows_BP.device)
    return rows_BP.gather(1, places_BS), places_BS[:, None, :] <= now_T[:, None]


def lags(read_BS: Tensor, shown_BTS: Tensor) -> Tensor:
    """[B, T, S] events between a position's latest one and each other; 0 for the latest."""
    upto_BT = (read_BS[:, None] & shown_BTS).sum(dim=-1)
    return (upto_BT[:, :, None] - read_BS.cumsum(dim=1)[:, None, :]).clamp(min=0).float()


def masked_softmax(logits: Tensor, shown: Tensor) -> Tensor:
    """Over the last dimension; zeros where nothing is shown."""
    weights = torch.softmax(logits.masked_fill(~shown, -1e9), dim=-1)
    return weights * shown


def agreement(sum_BTK: Tensor, weights_BTS: Tensor) -> list[Tensor]:
    """[B, T] weighted mean likeness of two different events, and the weight that pairs of them have.

    |Σ a_i s_i|² is Σ a_i² plus all pairs; without the first it does not depend on how many events there are.
    """
    own = weights_BTS.square().sum(dim=-1)
    pairs = weights_BTS.sum(dim=-1) - own
    return [(sum_BTK.square().sum(dim=-1) - own) / pairs.clamp(min=0.05), pairs]
