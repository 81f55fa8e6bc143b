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
    """What is to be predicted, and from where. A position predicts what the next position holds."""

    positions: Tensor
    """[N] flat positions b * T + t."""
    labels: Tensor
    """[N] item rows, or token ids."""
    kinds: Tensor
    """[N] the `Kind` predicted."""
    shares: Tensor
    """[N] 1, or 1 / size for each token of a bag: a position counts once however many words share it."""


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


def collate(sentences: Sequence[EncodedSentence]) -> Batch:
    """Lay encoded sentences side by side. Every position's target is what the next one holds."""
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
        targets(
            flat[is_item] - 1, entry_items[is_item], kinds[is_item], np.ones(int(is_item.sum()), np.float32)
        ),
        targets(
            token_positions[is_target] - 1, tokens[is_target], token_kinds[is_target], token_shares[is_target]
        ),
    )


def targets(positions: IntArray, labels: IntArray, kinds: np.ndarray, shares: np.ndarray) -> Targets:
    return Targets(
        torch.from_numpy(positions),
        torch.from_numpy(labels),
        torch.from_numpy(kinds.astype(np.int64)),
        torch.from_numpy(shares),
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
