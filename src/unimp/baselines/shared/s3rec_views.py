"""What S3-Rec's pre-training reads of a batch: masked events, a cut-out segment, events from elsewhere."""

# B users, T events

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from unimp.baselines.shared.sequences import Windows
from unimp.data.histories import IntArray


@dataclass(frozen=True)
class PretrainingViews:
    """Histories padded on the right, and what was drawn upon them."""

    rows_BT: Tensor
    """Items."""
    lengths_B: Tensor
    """Real events."""
    masked_BT: Tensor
    """True for events to be found again; at least one a row."""
    negatives_BT: Tensor
    """For each event an item that its row does not hold, as far as three draws can tell."""
    segment_BT: Tensor
    """True for one stretch of events of each row, at most half of it; never in rows of one event."""
    other_rows_BT: Tensor
    """As many consecutive events from elsewhere in the log at the place of the segment."""

    def to(self, device: str) -> PretrainingViews:
        return PretrainingViews(*(getattr(self, part.name).to(device) for part in fields(self)))


def draw_views(
    windows: Windows, chosen: IntArray, num_items: int, mask_share: float, random: np.random.Generator
) -> PretrainingViews:
    """Draw everything for the chosen windows; the same generator gives the same views."""
    rows, lengths = windows.padded(chosen), windows.lengths[chosen]
    steps = np.arange(rows.shape[1])
    real = steps < lengths[:, None]
    masked = (random.random(rows.shape) < mask_share) & real
    # A row without a mask would say nothing: its last event is masked.
    masked |= ~masked.any(axis=1, keepdims=True) & (steps == lengths[:, None] - 1)
    starts, sizes = draw_segments(lengths, random)
    segment = (steps >= starts[:, None]) & (steps < (starts + sizes)[:, None])
    elsewhere = random.integers(0, np.maximum(len(windows.item_rows) - sizes, 0) + 1)
    places = np.where(segment, elsewhere[:, None] + steps - starts[:, None], 0)
    arrays = (
        rows,
        lengths,
        masked,
        draw_absent(rows, num_items, random),
        segment,
        np.where(segment, windows.item_rows[places], 0),
    )
    return PretrainingViews(*(torch.from_numpy(values) for values in arrays))


def draw_segments(lengths: IntArray, random: np.random.Generator) -> tuple[IntArray, IntArray]:
    """[B], [B] first event and size of a stretch of 1 to length // 2 events; size 0 where length is 1."""
    longest = lengths // 2
    sizes = np.where(longest > 0, random.integers(1, np.maximum(longest, 1) + 1), 0)
    return random.integers(0, lengths - sizes + 1), sizes


def draw_absent(rows: IntArray, num_items: int, random: np.random.Generator) -> IntArray:
    """[B, T] items drawn uniformly; one that its row holds is drawn again, up to twice."""
    drawn: IntArray = random.integers(0, num_items, rows.shape)
    for _ in range(2):
        present = (drawn[:, :, None] == rows[:, None]).any(axis=2)
        drawn[present] = random.integers(0, num_items, int(present.sum()))
    return drawn
