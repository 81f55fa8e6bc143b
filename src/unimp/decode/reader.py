"""`Reader`: sentences in, hidden states out, in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from unimp.encode.batch import Batch, PictureView, collate
from unimp.encode.encoder import EncodedSentence
from unimp.model.cross_attention import View
from unimp.model.unimp import Inputs, ItemState, UnimpModel


def as_inputs(batch: Batch) -> Inputs:
    """The part of a batch that the model reads."""
    return Inputs(
        batch.items,
        batch.tokens,
        batch.token_positions,
        batch.token_shares,
        tuple(as_view(view) for view in batch.views),
    )


def as_view(view: PictureView) -> View:
    return View(view.positions, view.group, view.slot, view.pictures, view.slots)


def batch_pictures(state: ItemState, batch: Batch) -> Tensor | None:
    """[P, V, E] visual tokens of the batch's pictures; None when nothing is to be seen."""
    if state.visual_IVE is None or not len(batch.picture_rows):
        return None
    visual = state.visual_IVE[batch.picture_rows.to(state.visual_IVE.device)]
    return visual.to(batch.items.device, torch.float32)


def batches_by_length(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Sentences from short to long, so many at a time that padded positions stay within `budget`."""
    batch: list[int] = []
    for row in np.argsort(np.asarray(lengths), kind="stable").tolist():
        if batch and lengths[row] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


@torch.inference_mode()
def last_hidden(
    model: UnimpModel, state: ItemState, sentences: Sequence[EncodedSentence], budget: int = 16_384
) -> Tensor:
    """[U, D] the hidden state at the end of every sentence: where the answer begins."""
    device = state.table_ID.device
    hidden = torch.empty(len(sentences), model.config.width, device=device)
    for rows in batches_by_length([len(sentence) for sentence in sentences], budget):
        batch = collate([sentences[row] for row in rows]).to(device)
        x_BTD = model(as_inputs(batch), state.table_ID, batch_pictures(state, batch))
        hidden[rows] = x_BTD[torch.arange(len(rows), device=device), batch.lengths - 1]
    return hidden
