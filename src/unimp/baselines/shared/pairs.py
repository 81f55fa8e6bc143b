"""The log as distinct (user, item) pairs, and the pairwise loss that methods without an order learn from."""

# P pairs, N pairs of a batch, K negatives

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unimp.data.histories import Histories, IntArray

REDRAWS = 20
"""A negative that its user had is drawn anew, at most so often (a user may have had nearly everything)."""


@dataclass(frozen=True)
class Triples:
    """A batch: each user had the positive item and did not have the negative one."""

    users: Tensor
    """[N] positions in the training histories."""
    positives: Tensor
    """[N] item rows."""
    negatives: Tensor
    """[N, K] item rows."""


@dataclass(frozen=True)
class Pairs:
    """Who had what; repeats are counted once."""

    keys: IntArray
    """[P] user · num_items + item, ascending."""
    num_users: int
    num_items: int

    @classmethod
    def of(cls, histories: Histories, num_items: int) -> Pairs:
        keys = np.unique(histories.owners() * num_items + histories.item_rows)
        return cls(keys, len(histories), num_items)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def user_rows(self) -> IntArray:
        """[P]."""
        return self.keys // self.num_items

    @property
    def item_rows(self) -> IntArray:
        """[P]."""
        return self.keys % self.num_items

    def had(self, users: IntArray, items: IntArray) -> np.ndarray:
        """[...] True where the user had the item; both arrays of one shape."""
        wanted = users * self.num_items + items
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.asarray(self.keys[places] == wanted)

    def negatives(self, users: IntArray, count: int, random: np.random.Generator) -> IntArray:
        """[N, K] items drawn uniformly from those that the user did not have."""
        owners = np.repeat(users[:, None], count, axis=1)
        drawn = random.integers(self.num_items, size=owners.shape)
        for _ in range(REDRAWS):
            wrong = np.nonzero(self.had(owners, drawn))
            if not len(wrong[0]):
                break
            drawn[wrong] = random.integers(self.num_items, size=len(wrong[0]))
        return drawn

    def epoch(
        self, batch: int, random: np.random.Generator, *, negatives: int = 1, device: str = "cpu"
    ) -> Iterator[Triples]:
        """Every pair once, in random order, each with fresh negatives."""
        for chosen in np.split(random.permutation(len(self)), range(batch, len(self), batch)):
            users, items = np.divmod(self.keys[chosen], self.num_items)
            drawn = self.negatives(users, negatives, random)
            yield Triples(*(torch.from_numpy(rows).to(device) for rows in (users, items, drawn)))


def bpr_loss(positive_N: Tensor, negative_N: Tensor) -> Tensor:
    """Mean of −ln σ(x̂_ui − x̂_uj) (Rendle et al., UAI 2009, sec. 4.1: BPR-Opt without its prior)."""
    return -F.logsigmoid(positive_N - negative_N).mean()


def squared_norm(*parts_ND: Tensor) -> Tensor:
    """Half the squared norm of all parts per row of the batch: what λ multiplies in the papers' loss."""
    return sum((part.square().sum() for part in parts_ND), torch.zeros(())) / (2 * len(parts_ND[0]))
