"""Beam search along the trie of semantic ids, for methods that generate an item code by code."""

# B users, K beams, C codes of a level, N candidates for the next beam (K x C), I items

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

BEHIND = 100.0
"""How far an item that the beam did not reach stands behind the last one that it did, in nats."""


class CodeDecoder(Protocol):
    """Begins with one empty segment of codes for each user."""

    def log_odds(self, level: int) -> Tensor:
        """[B, K, C] log probabilities of the next code of every segment."""
        ...

    def follow(self, parents_BK: Tensor, codes_BK: Tensor) -> None:
        """Segment k becomes a copy of segment `parents[k]`, with one more code."""
        ...


@dataclass(frozen=True)
class BeamLevel:
    """Where a search ended."""

    items_BN: Tensor
    """Item rows, -1 for none."""
    scores_BN: Tensor
    """Their log probabilities, -inf for none."""
    first_BC: Tensor
    """Log probabilities of all first codes."""

    def scores(self, first_codes_I: Tensor) -> Tensor:
        """[B, I] log probabilities of the items reached; the others by their first code, behind them all."""
        lowest_B = self.scores_BN.masked_fill(self.items_BN < 0, torch.inf).amin(dim=1)
        scores_BI = self.first_BC[:, first_codes_I] + (lowest_B - BEHIND)[:, None]
        users_N, places_N = (self.items_BN >= 0).nonzero(as_tuple=True)
        scores_BI[users_N, self.items_BN[users_N, places_N]] = self.scores_BN[users_N, places_N]
        return scores_BI


def beam_search(
    decoder: CodeDecoder, trie: Sequence[Tensor], num_users: int, beam: int, *, whole_last_level: bool = False
) -> BeamLevel:
    """Follow the `beam` likeliest segments of codes that exist (`trie`: see `code_trie`).

    `whole_last_level` takes every item below the last beam instead of the `beam` best of them.
    """
    node_BK = torch.zeros((num_users, 1), dtype=torch.long, device=trie[0].device)
    score_BK = first_BC = torch.zeros(node_BK.shape, device=node_BK.device)
    for level, table in enumerate(trie):
        odds_BKC = decoder.log_odds(level)
        first_BC = odds_BKC[:, 0] if level == 0 else first_BC
        child_BKC = table[node_BK.clamp(min=0)].masked_fill(node_BK[..., None] < 0, -1)
        child_BN = child_BKC.flatten(1)
        total_BN = (score_BK[..., None] + odds_BKC).flatten(1).masked_fill(child_BN < 0, -torch.inf)
        last = level + 1 == len(trie)
        if last and whole_last_level:
            return BeamLevel(child_BN, total_BN, first_BC)
        score_BK, chosen_BK = total_BN.topk(min(beam, total_BN.shape[1]), dim=1)
        node_BK = child_BN.gather(1, chosen_BK).masked_fill(score_BK.isinf(), -1)
        if not last:
            decoder.follow(chosen_BK // odds_BKC.shape[2], chosen_BK % odds_BKC.shape[2])
    return BeamLevel(node_BK, score_BK, first_BC)
