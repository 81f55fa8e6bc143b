"""`Continuation`: several sentences read once, then continued token by token from their caches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unimp.decode.reader import as_inputs, batch_pictures
from unimp.encode.batch import Batch, collate
from unimp.encode.encoder import EncodedSentence
from unimp.model.cross_attention import View
from unimp.model.decoder import KVCache
from unimp.model.inputs import Inputs, ItemState
from unimp.model.unimp import UnimpModel

Check = Callable[[], None]
"""Called between steps of long work; it raises when the work is not wanted any more."""


def nothing_to_check() -> None:
    """The work is always wanted."""


class Continuation:
    """Keys and values of the sentences and of their pictures are made once; every step adds one position."""

    def __init__(
        self, model: UnimpModel, state: ItemState, sentences: Sequence[EncodedSentence], room: int
    ) -> None:
        """`room`: most positions that will be added."""
        self.model, self.state = model, state
        batch = collate(sentences, align_end=True).to(state.table_ID.device)
        size, width = batch.items.shape
        self.pictures = model.look(batch_pictures(state, batch))
        self.seen_BM = seen_at_end(batch)
        self.ghost_text, self.ghost_pictures = batch.ghost_text, batch.ghost_pictures
        self.held_B = batch.items[:, -1].clamp(max=-1)
        """The ghost item that the last position holds: every further one holds it too; -1 for none."""
        self.cache: KVCache = model.decoder.new_cache(size, width + room, batch.starts)
        self.hidden_BD = model(as_inputs(batch), state, self.pictures, self.cache)[:, -1]

    def step(self, bags_BN: Tensor) -> Tensor:
        """[B, D] after one more position each, which holds a bag of N tokens."""
        size, count = bags_BN.shape
        device = bags_BN.device
        flat = torch.arange(size, device=device)
        views: tuple[View, ...] = ()
        if self.seen_BM is not None:
            seeing = (self.seen_BM >= 0).any(dim=1).nonzero()[:, 0]
            group = torch.arange(len(seeing), device=device)
            if len(seeing):
                views = (View(seeing, group, torch.zeros_like(group), self.seen_BM[seeing], 1),)
        inputs = Inputs(
            self.held_B[:, None],
            bags_BN.flatten(),
            flat.repeat_interleave(count),
            torch.full((size * count,), 1.0 / count, device=device),
            views,
            self.ghost_text,
            self.ghost_pictures,
        )
        self.hidden_BD = self.model(inputs, self.state, self.pictures, self.cache)[:, -1]
        return self.hidden_BD

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows, in this order; a row may be named more than once (beams)."""
        cache = self.cache
        cache.keys = cache.keys.index_select(1, rows)
        cache.values = cache.values.index_select(1, rows)
        cache.starts_B = None if cache.starts_B is None else cache.starts_B[rows]
        self.hidden_BD = self.hidden_BD[rows]
        self.held_B = self.held_B[rows]
        self.seen_BM = None if self.seen_BM is None else self.seen_BM[rows]


def seen_at_end(batch: Batch) -> Tensor | None:
    """[B, M] rows among the batch's pictures that each sentence's last position sees; None: nobody sees."""
    size, width = batch.items.shape
    most = max((view.pictures.shape[1] for view in batch.views), default=0)
    if not most:
        return None
    seen_BM = torch.full((size, most), -1, device=batch.items.device)
    for view in batch.views:
        ends = (view.positions % width == width - 1).nonzero()[:, 0]
        pictures = view.pictures[view.group[ends]]
        seen_BM[view.positions[ends] // width, : pictures.shape[1]] = pictures
    return seen_BM
