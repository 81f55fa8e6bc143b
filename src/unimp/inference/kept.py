"""`Kept`: of a user's sentences only what is new is read; the history's keys and values are kept."""

# L layers, H heads, S positions read, K head width, B sentences, T positions

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from unimp.data.histories import IntArray
from unimp.inference.forward import as_inputs, as_view
from unimp.inference.warm import Key, WarmMemory, WarmState
from unimp.model.cross_attention import View
from unimp.model.decoder import KVCache
from unimp.model.inputs import Inputs
from unimp.sentence.batch import Batch
from unimp.sentence.encoder import EncodedSentence
from unimp.sentence.views import PictureView


@dataclass(frozen=True)
class HistoryPrefix:
    """The positions of a sentence that tell the history: all that the model makes of them depends on."""

    items: IntArray
    """[S] as in `EncodedSentence`, like the others."""
    pictures: IntArray
    sees: IntArray
    bag_sizes: IntArray
    tokens: IntArray
    """[N]"""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def item_rows(self) -> IntArray:
        """Items that are read, or whose pictures are."""
        return np.union1d(self.items[self.items >= 0], self.pictures[self.pictures >= 0])

    @property
    def num_bytes(self) -> int:
        arrays = (self.items, self.pictures, self.sees, self.bag_sizes, self.tokens)
        return sum(array.nbytes for array in arrays)

    @classmethod
    def of(cls, sentence: EncodedSentence) -> Self:
        end = sentence.history
        tokens = sentence.tokens[: int(sentence.bag_sizes[:end].sum())]
        return cls(
            sentence.items[:end].copy(),
            sentence.pictures[:end].copy(),
            sentence.sees[:end].copy(),
            sentence.bag_sizes[:end].copy(),
            tokens.copy(),
        )

    def begins(self, other: object) -> bool:
        """Whether `other` goes on from here: the same positions first."""
        if not isinstance(other, HistoryPrefix) or len(self) > len(other):
            return False
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return all(np.array_equal(mine, theirs[: len(mine)]) for mine, theirs in pairs)


@dataclass(frozen=True)
class Kept:
    """One user's state of one task. The sentences that are read with it are all this user's."""

    memory: WarmMemory
    key: Key

    def find(self, sentence: EncodedSentence) -> WarmState | None:
        """What was read of the sentence's history before."""
        return self.memory.find(self.key, HistoryPrefix.of(sentence))

    def put(self, sentence: EncodedSentence, cache: KVCache, start: int) -> None:
        """Keep the history of the cache's first sentence, which begins at the position `start`."""
        read = slice(start, start + sentence.history)
        keys, values = cache.keys[:, 0, :, read].clone(), cache.values[:, 0, :, read].clone()
        self.memory.put(self.key, WarmState(HistoryPrefix.of(sentence), keys, values))


def lay_in(
    cache: KVCache, state: WarmState, sentences: Sequence[EncodedSentence], starts: Sequence[int]
) -> None:
    """Fill the empty cache with what is kept, as far as all sentences begin with it.

    They begin at `starts` and end together; each one's last position is left to be read.
    """
    column = min(
        start + min(known_positions(state, sentence), len(sentence) - 1)
        for start, sentence in zip(starts, sentences, strict=True)
    )
    for row, start in enumerate(starts):
        known = max(column - start, 0)
        cache.keys[:, row, :, start : start + known] = state.keys_LHSK[:, :, :known]
        cache.values[:, row, :, start : start + known] = state.values_LHSK[:, :, :known]
    cache.used = column


def known_positions(state: WarmState, sentence: EncodedSentence) -> int:
    """How many of a sentence's first positions the state holds."""
    return state.positions if state.seen.begins(HistoryPrefix.of(sentence)) else 0


def inputs_from(batch: Batch, column: int) -> tuple[Inputs, Tensor]:
    """What the model has to read of a batch from one position on, and the rows of the pictures it shows."""
    if not column:
        return as_inputs(batch), batch.picture_rows
    width = batch.items.shape[1]
    late = batch.token_positions % width >= column
    views = [view for view in batch.views if bool((view.positions % width >= column).any())]
    late_views = [view_from(view, column, width) for view in views]
    shown = torch.cat([batch.picture_rows.new_zeros(0), *(v.pictures_GM.flatten() for v in late_views)])
    used = shown[shown >= 0].unique()
    inputs = Inputs(
        batch.items[:, column:],
        batch.tokens[late],
        moved(batch.token_positions[late], column, width),
        batch.token_shares[late],
        tuple(numbered(view, used) for view in late_views),
        batch.query_text,
        batch.query_pictures,
    )
    return inputs, batch.picture_rows[used]


def moved(positions: Tensor, column: int, width: int) -> Tensor:
    """Flat positions of rows of `width`, counted in rows that begin at `column`."""
    return positions // width * (width - column) + positions % width - column


def view_from(view: PictureView, column: int, width: int) -> View:
    """Those of a view's positions that stand at `column` or after it, and their groups alone."""
    late = view.positions % width >= column
    groups, group = view.group[late].unique(return_inverse=True)
    seen = as_view(view)
    positions = moved(seen.positions_N[late], column, width)
    return View(positions, group, seen.slot_N[late], seen.pictures_GM[groups], seen.slots)


def numbered(view: View, used: Tensor) -> View:
    """The view's pictures as places among those used."""
    places = torch.searchsorted(used, view.pictures_GM)
    pictures_GM = torch.where(view.pictures_GM >= 0, places, -1)
    return View(view.positions_N, view.group_N, view.slot_N, pictures_GM, view.slots)
