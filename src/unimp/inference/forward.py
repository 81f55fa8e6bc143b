"""`Reader`: sentences in, hidden states out, in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from unimp.model.backbones.huggingface import HuggingFaceBackbone
from unimp.model.cross_attention import View
from unimp.model.inputs import Inputs, ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.batch import Batch, collate
from unimp.sentence.encoder import EncodedSentence
from unimp.sentence.views import PictureView

POSITIONS, POSITIONS_OF_BACKBONE = 16_384, 1024
"""Padded positions that are read at a time. What a large backbone's layers hold of more than about a thousand
leaves a CPU's cache, and reading takes 1.4 times as long (`benchmarks/speed/backbone.py`)."""


def as_inputs(batch: Batch) -> Inputs:
    """The part of a batch that the model reads."""
    return Inputs(
        batch.items,
        batch.tokens,
        batch.token_positions,
        batch.token_shares,
        tuple(as_view(view) for view in batch.views),
        batch.query_text,
        batch.query_pictures,
        batch.read,
    )


def as_view(view: PictureView) -> View:
    return View(view.positions, view.group, view.slot, view.pictures, view.slots)


def batch_pictures(state: ItemState, batch: Batch) -> Tensor | None:
    """[P, V, E] visual tokens of the batch's pictures; None when nothing is to be seen."""
    return pictures_at(state, batch.picture_rows, batch.items.device)


def pictures_at(state: ItemState, picture_rows: Tensor, device: torch.device) -> Tensor | None:
    """[P, V, E] visual tokens of these pictures, on `device`; None when nothing is to be seen."""
    table, outside = state.visual_IVE, state.outside_XVE
    if table is None or not len(picture_rows):
        return None
    rows = picture_rows.to(table.device)
    visual = table[rows.clamp(max=len(table) - 1)]
    if outside is not None and len(rows) and int(rows[-1]) >= len(table):  # rows are sorted
        foreign = rows >= len(table)
        visual = visual.clone()
        visual[foreign] = outside[rows[foreign] - len(table)].to(visual.dtype)
    return visual.to(device, torch.float32)


def read(model: UnimpModel, state: ItemState, batch: Batch) -> Tensor:
    """[B, T, W] hidden states of a batch, and what the likeness head seeks."""
    inputs = as_inputs(batch)
    return model.answers(model(inputs, state, model.look(batch_pictures(state, batch))), inputs, state)


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


def positions_at_a_time(model: UnimpModel, device: torch.device) -> int:
    """How many padded positions to read in one batch."""
    is_wide = isinstance(model.decoder, HuggingFaceBackbone)
    return POSITIONS_OF_BACKBONE if is_wide and device.type == "cpu" else POSITIONS


@torch.inference_mode()
def last_hidden(model: UnimpModel, state: ItemState, sentences: Sequence[EncodedSentence]) -> Tensor:
    """[U, W] what `read` makes of the end of every sentence: where the answer begins."""
    device = state.table_ID.device
    budget = positions_at_a_time(model, device)
    hidden = torch.empty(len(sentences), model.answer_width, device=device)
    for rows in batches_by_length([len(sentence) for sentence in sentences], budget):
        batch = collate([sentences[row] for row in rows]).to(device)
        x_BTD = read(model, state, batch)
        hidden[rows] = x_BTD[torch.arange(len(rows), device=device), batch.lengths - 1]
    return hidden
