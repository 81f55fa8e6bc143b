"""What a batch's positions have to predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from unimp.data.histories import IntArray
from unimp.sentence.encoder import Kind
from unimp.sentence.entries import Entries

END_OF_CHOICE = -2
"""Stands among the candidates of a choice: nothing more is chosen."""


@dataclass(frozen=True)
class TokenTargets:
    """What is to be predicted, and from where: a position predicts what comes next.

    A prediction may have up to H right answers (the next items of the history), each with its part.
    """

    positions: Tensor
    """[N] flat positions b * T + t."""
    labels: Tensor
    """[N, H] item rows, or token ids; any valid one where `parts` is 0."""
    parts: Tensor
    """[N, H] the part of each right answer; rows sum to 1."""
    kinds: Tensor
    """[N] the `Kind` predicted."""
    roles: Tensor
    """[N] the `Role` of what is predicted: context or answer."""
    shares: Tensor
    """[N] 1, or 1 / size for each token of a bag: a position counts once however many words share it."""

    def where(self, chosen: Tensor) -> TokenTargets:
        """The predictions where `chosen` ([N] bool) is True."""
        return TokenTargets(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True)
class ChoiceTargets:
    """Predictions among candidates, not among the whole catalogue."""

    positions: Tensor
    """[N] flat positions."""
    candidates: Tensor
    """[N, C] item rows, `END_OF_CHOICE` in the first column, -1 where a prediction has fewer."""
    labels: Tensor
    """[N] the column of the right answer."""


@dataclass(frozen=True)
class Horizon:
    """How far ahead an item target reaches."""

    items: int = 1
    """Right answers per prediction: the next item, and so many less one after it."""
    decay: float = 1.0
    """Part of each further item, relative to the one before it."""


def token_targets(entries: Entries, flat: IntArray) -> TokenTargets:
    """Words, ratings and codes, each predicted from the position before its own."""
    kinds = np.repeat(entries.kinds, entries.bag_sizes)
    roles = np.repeat(entries.roles, entries.bag_sizes)
    owners = np.repeat(np.arange(len(flat)), entries.bag_sizes)
    chosen = entries.predicted & (roles > 0) & (kinds != Kind.ITEM) & (kinds != Kind.FRAME)
    chosen &= kinds != Kind.CHOICE
    counts = np.maximum(np.bincount(owners, weights=entries.predicted, minlength=len(flat)), 1)
    return TokenTargets(
        torch.from_numpy(flat[owners[chosen]] - 1),
        torch.from_numpy(entries.tokens[chosen, None]),
        torch.ones(int(chosen.sum()), 1),
        torch.from_numpy(kinds[chosen]),
        torch.from_numpy(roles[chosen]),
        torch.from_numpy((1.0 / counts[owners[chosen]]).astype(np.float32)),
    )


def choice_targets(entries: Entries, flat: IntArray, candidates: Sequence[tuple[int, ...]]) -> ChoiceTargets:
    """Each choice among the candidates that were left; the end of choosing is the first of them."""
    places = np.flatnonzero(entries.kinds == Kind.CHOICE)
    table = np.full((len(places), 1 + max((len(row) for row in candidates), default=0)), -1, dtype=np.int64)
    table[:, 0] = END_OF_CHOICE
    for row, left in enumerate(candidates):
        table[row, 1 : 1 + len(left)] = left
    chosen = entries.items[places]
    found = np.argmax(table == np.where(chosen < 0, END_OF_CHOICE, chosen)[:, None], axis=1)
    return ChoiceTargets(torch.from_numpy(flat[places] - 1), torch.from_numpy(table), torch.from_numpy(found))


def item_targets(entries: Entries, flat: IntArray, width: int, horizon: Horizon) -> TokenTargets:
    """The position before each item predicts it, and the items of its sentence that follow within reach."""
    chosen = (entries.kinds == Kind.ITEM) & (entries.roles > 0)
    positions, items, roles = flat[chosen], entries.items[chosen], entries.roles[chosen]
    count = len(items)
    ahead = np.arange(count)[:, None] + np.arange(horizon.items)
    inside = np.minimum(ahead, max(count - 1, 0))
    owners = positions // width
    real = (ahead < count) & (owners[inside] == owners[:, None])
    parts = np.where(real, np.float32(horizon.decay) ** np.arange(horizon.items, dtype=np.float32), 0.0)
    return TokenTargets(
        torch.from_numpy(positions - 1),
        torch.from_numpy(np.where(real, items[inside], items[:, None])),
        torch.from_numpy((parts / parts.sum(axis=1, keepdims=True)).astype(np.float32)),
        torch.full((count,), int(Kind.ITEM)),
        torch.from_numpy(roles),
        torch.ones(count),
    )
