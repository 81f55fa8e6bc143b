"""`Batch`: sentences of similar length side by side, with their targets and the pictures they may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from unimp.data.histories import IntArray
from unimp.encode.encoder import EncodedSentence, Kind


@dataclass(frozen=True)
class PictureView:
    """Groups of tokens that see the same pictures: `own` groups see one, `all` groups several.

    Attention then costs tokens x visual tokens of the pictures a token may see, never of all pictures.
    """

    positions: Tensor
    """[N] flat positions b * T + t that see something."""
    group: Tensor
    """[N] the group each belongs to."""
    slot: Tensor
    """[N] its place within the group."""
    pictures: Tensor
    """[G, M] rows of `Batch.picture_rows`, -1 where a group sees fewer than M."""
    slots: int
    """Most positions in one group."""


@dataclass(frozen=True)
class Targets:
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
    shares: Tensor
    """[N] 1, or 1 / size for each token of a bag: a position counts once however many words share it."""

    def where(self, chosen: Tensor) -> Targets:
        """The predictions where `chosen` ([N] bool) is True."""
        return Targets(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True)
class Horizon:
    """How far ahead an item target reaches."""

    items: int = 1
    """Right answers per prediction: the next item, and so many less one after it."""
    decay: float = 1.0
    """Part of each further item, relative to the one before it."""


@dataclass(frozen=True)
class Batch:
    """B sentences of at most T positions, right-padded; causal attention makes a padding mask needless."""

    items: Tensor
    """[B, T] item row, -1 elsewhere."""
    tokens: Tensor
    """[N] tokens of all bags."""
    token_positions: Tensor
    """[N] flat position of each token."""
    token_shares: Tensor
    """[N] 1 / size of its bag."""
    lengths: Tensor
    """[B] positions in use."""
    picture_rows: Tensor
    """[P] item rows of the pictures in this batch, each once."""
    views: tuple[PictureView, ...]
    item_targets: Targets
    token_targets: Targets

    @property
    def num_positions(self) -> int:
        return int(self.lengths.sum())

    def to(self, device: torch.device) -> Batch:
        if device.type == "cpu":
            return self
        return moved(self, device)


Noun = TypeVar("Noun", Batch, PictureView, Targets)


def moved(nouns: Noun, device: torch.device) -> Noun:
    """The same dataclass with its tensors on `device`."""
    changes: dict[str, Any] = {}
    for field in fields(nouns):
        value = getattr(nouns, field.name)
        if isinstance(value, Tensor):
            changes[field.name] = value.to(device, non_blocking=True)
        elif isinstance(value, Targets):
            changes[field.name] = moved(value, device)
        elif isinstance(value, tuple):
            changes[field.name] = tuple(moved(view, device) for view in value)
    return replace(nouns, **changes)


def collate(sentences: Sequence[EncodedSentence], horizon: Horizon | None = None) -> Batch:
    """Lay encoded sentences side by side. Every position's target is what the next one holds.

    With a `horizon`, a position before an item predicts the items after that one too.
    """
    lengths = np.array([len(sentence) for sentence in sentences])
    size, width = len(sentences), int(lengths.max())
    flat = np.concatenate(
        [row * width + np.arange(length) for row, length in enumerate(lengths)]
    )  # position of every real entry
    kinds = np.concatenate([sentence.kinds for sentence in sentences])
    entry_items = np.concatenate([sentence.items for sentence in sentences])
    bag_sizes = np.concatenate([sentence.bag_sizes for sentence in sentences])
    tokens = np.concatenate([sentence.tokens for sentence in sentences])
    items = np.full(size * width, -1, dtype=np.int64)
    items[flat] = entry_items
    token_positions = np.repeat(flat, bag_sizes)
    token_shares = np.repeat(1.0 / np.maximum(bag_sizes, 1), bag_sizes).astype(np.float32)
    token_kinds = np.repeat(kinds, bag_sizes)
    is_item = kinds == Kind.ITEM
    is_target = (token_kinds != Kind.FRAME) & (token_positions % width > 0)
    picture_rows, views = picture_views(sentences, flat, width)
    return Batch(
        torch.from_numpy(items.reshape(size, width)),
        torch.from_numpy(tokens),
        torch.from_numpy(token_positions),
        torch.from_numpy(token_shares),
        torch.from_numpy(lengths),
        torch.from_numpy(picture_rows),
        views,
        item_targets(flat[is_item], entry_items[is_item], width, horizon or Horizon()),
        Targets(
            torch.from_numpy(token_positions[is_target] - 1),
            torch.from_numpy(tokens[is_target, None]),
            torch.ones(int(is_target.sum()), 1),
            torch.from_numpy(token_kinds[is_target].astype(np.int64)),
            torch.from_numpy(token_shares[is_target]),
        ),
    )


def item_targets(positions: IntArray, items: IntArray, width: int, horizon: Horizon) -> Targets:
    """The position before each item predicts it, and the items of its sentence that follow within reach."""
    count = len(items)
    ahead = np.arange(count)[:, None] + np.arange(horizon.items)
    inside = np.minimum(ahead, max(count - 1, 0))
    owners = positions // width
    real = (ahead < count) & (owners[inside] == owners[:, None])
    parts = np.where(real, np.float32(horizon.decay) ** np.arange(horizon.items, dtype=np.float32), 0.0)
    return Targets(
        torch.from_numpy(positions - 1),
        torch.from_numpy(np.where(real, items[inside], items[:, None])),
        torch.from_numpy((parts / parts.sum(axis=1, keepdims=True)).astype(np.float32)),
        torch.full((count,), int(Kind.ITEM)),
        torch.ones(count),
    )


def picture_views(
    sentences: Sequence[EncodedSentence], flat: IntArray, width: int
) -> tuple[IntArray, tuple[PictureView, ...]]:
    """The batch's pictures, and who sees them: `own` tokens by block, `all` tokens by sentence."""
    seen = np.concatenate([sentence.pictures for sentence in sentences])
    sees_all = np.concatenate([sentence.sees_all for sentence in sentences])
    rows, indices = np.unique(seen[seen >= 0], return_inverse=True)
    if not len(rows):
        return rows, ()
    local = np.full(len(seen), -1, dtype=np.int64)
    local[seen >= 0] = indices
    own = np.flatnonzero((seen >= 0) & ~sees_all)
    # A group is a run of neighbouring positions with the same picture in the same sentence.
    starts = np.concatenate(
        [[True][: len(own)], (local[own][1:] != local[own][:-1]) | (np.diff(flat[own]) != 1)]
    )
    views = [grouped(flat[own], np.cumsum(starts) - 1, local[own][starts][:, None])] if len(own) else []
    if sees_all.any():
        views.append(all_view(flat[sees_all], flat, local, width))
    return rows, tuple(views)


def all_view(asking: IntArray, flat: IntArray, local: IntArray, width: int) -> PictureView:
    """Answer tokens see every picture of their sentence, each once."""
    sentences, group = np.unique(asking // width, return_inverse=True)
    shown = [np.unique(local[(flat // width == row) & (local >= 0)]) for row in sentences]
    pictures = np.full((len(sentences), max(1, *(len(rows) for rows in shown))), -1, dtype=np.int64)
    for row, rows in enumerate(shown):
        pictures[row, : len(rows)] = rows
    return grouped(asking, group, pictures)


def grouped(positions: IntArray, group: IntArray, pictures: IntArray) -> PictureView:
    counts = np.bincount(group, minlength=len(pictures))
    slot = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    return PictureView(
        torch.from_numpy(positions),
        torch.from_numpy(group.astype(np.int64)),
        torch.from_numpy(slot),
        torch.from_numpy(pictures),
        int(counts.max()),
    )
