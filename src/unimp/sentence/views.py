"""Who sees which picture: the mask M in sparse form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unimp.data.histories import IntArray
from unimp.sentence.entries import Entries


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


def picture_views(entries: Entries, flat: IntArray, width: int) -> tuple[IntArray, tuple[PictureView, ...]]:
    """The batch's pictures, and who sees them: `own` tokens by block, `all` tokens by answer."""
    seen, sees = entries.pictures, entries.sees
    rows = np.unique(np.concatenate([seen[seen >= 0], *entries.earlier_pictures]))
    if not len(rows):
        return rows, ()
    local = np.where(seen >= 0, np.searchsorted(rows, seen), -1)
    own = np.flatnonzero((seen >= 0) & (sees == 0))
    views = [own_view(flat[own], local[own])] if len(own) else []
    if sees.any():
        earlier = [np.searchsorted(rows, shown) for shown in entries.earlier_pictures]
        views.append(all_view(flat, sees, local, width, earlier))
    return rows, tuple(view for view in views if len(view.positions))


def own_view(positions: IntArray, pictures: IntArray) -> PictureView:
    """Positions of all sentences with the same picture share a group, whose keys and values are read once.

    No group is longer than the mean number of positions of a picture: a popular item would lengthen all.
    """
    order = np.argsort(pictures, kind="stable")
    positions, pictures = positions[order], pictures[order]
    counts = np.unique(pictures, return_counts=True)[1]
    longest = -(-len(pictures) // len(counts))
    places = np.arange(len(pictures)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = places % longest == 0
    return grouped(positions, np.cumsum(starts) - 1, pictures[starts][:, None])


def all_view(
    flat: IntArray, sees: IntArray, local: IntArray, width: int, earlier: Sequence[IntArray]
) -> PictureView:
    """The tokens of one answer see the latest pictures that its sentence showed before it, each once.

    earlier: of each sentence, the pictures that were shown before its first position.
    """
    asking = np.flatnonzero(sees)
    breaks = (np.diff(flat[asking]) != 1) | (np.diff(flat[asking] // width) != 0)
    group = np.concatenate([[0], np.cumsum(breaks)]).astype(np.int64)
    firsts = asking[np.concatenate([[True], breaks])]
    owners = flat[firsts] // width
    opened = np.searchsorted(flat, owners * width)  # where each answer's sentence begins
    shown = [
        latest(np.concatenate([earlier[owner], local[start:first]]), int(sees[first]))
        for owner, start, first in zip(owners.tolist(), opened.tolist(), firsts.tolist(), strict=True)
    ]
    counts = np.array([len(rows) for rows in shown])
    pictures = np.full((len(shown), int(counts.max())), -1, dtype=np.int64)
    for row, rows in enumerate(shown):
        pictures[row, : len(rows)] = rows
    seeing = counts[group] > 0  # an answer with nothing to see before it belongs to no group
    return grouped(flat[asking[seeing]], (np.cumsum(counts > 0) - 1)[group[seeing]], pictures[counts > 0])


def latest(pictures: IntArray, count: int) -> IntArray:
    """The last `count` different pictures (>= 0), latest first."""
    shown = pictures[pictures >= 0][::-1]
    return shown[np.sort(np.unique(shown, return_index=True)[1])[:count]]


def grouped(positions: IntArray, group: IntArray, pictures: IntArray) -> PictureView:
    counts = np.bincount(group, minlength=len(pictures))
    slot = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    return PictureView(
        torch.from_numpy(positions),
        torch.from_numpy(group.astype(np.int64)),
        torch.from_numpy(slot),
        torch.from_numpy(pictures),
        int(counts.max(initial=0)),
    )
