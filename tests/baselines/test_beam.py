"""Beam search along a trie, against every item's log probability added up by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from unimp.baselines.shared.beam import BEHIND, beam_search
from unimp.baselines.shared.semantic_ids import code_trie

CODES = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 2, 0], [2, 1, 1], [2, 1, 0]])
USERS = 2


class Table:
    """Log probabilities that depend on the whole segment: one table for each level."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        sizes = (CODES.max(axis=0) + 1).tolist()
        self.tables = [
            torch.randn(USERS, 50, size, generator=generator, dtype=torch.float64).log_softmax(2)
            for size in sizes
        ]
        self.segment_BK = torch.zeros((USERS, 1), dtype=torch.long)

    def log_odds(self, level: int) -> Tensor:
        table = self.tables[level]
        return table.gather(1, self.segment_BK[..., None].expand(-1, -1, table.shape[2]))

    def follow(self, parents_BK: Tensor, codes_BK: Tensor) -> None:
        self.segment_BK = self.segment_BK.gather(1, parents_BK) * 3 + codes_BK + 1

    def by_hand(self, user: int, item: int) -> float:
        total, segment = 0.0, 0
        for level, code in enumerate(CODES[item].tolist()):
            total += float(self.tables[level][user, segment, code])
            segment = segment * 3 + code + 1
        return total


@pytest.mark.parametrize("whole", [False, True])
def test_a_wide_beam_reaches_every_item(whole: bool) -> None:
    table = Table()
    found = beam_search(table, code_trie(CODES), USERS, 100, whole_last_level=whole)
    scores = found.scores(torch.from_numpy(CODES[:, 0]))
    for user in range(USERS):
        for item in range(len(CODES)):
            assert scores[user, item].item() == pytest.approx(table.by_hand(user, item), abs=1e-5)


def test_a_narrow_beam_keeps_the_best_and_puts_the_others_behind() -> None:
    found = beam_search(Table(), code_trie(CODES), USERS, 2)
    assert found.items_BN.shape == (USERS, 2)
    scores = found.scores(torch.from_numpy(CODES[:, 0]))
    for user in range(USERS):
        reached = found.items_BN[user].tolist()
        lowest = min(scores[user, item].item() for item in reached)
        others = [item for item in range(len(CODES)) if item not in reached]
        for item in others:
            first = float(Table().tables[0][user, 0, CODES[item, 0]])
            assert scores[user, item].item() == pytest.approx(lowest - BEHIND + first, abs=1e-4)


def test_a_code_that_leads_nowhere_is_never_followed() -> None:
    """Item 4 alone has the code 2 on the second level; other segments must not take it."""
    found = beam_search(Table(), code_trie(CODES), USERS, 100)
    for user in range(USERS):
        reached = [item for item in found.items_BN[user].tolist() if item >= 0]
        assert sorted(reached) == list(range(len(CODES)))
    assert found.scores_BN[found.items_BN < 0].isinf().all()
