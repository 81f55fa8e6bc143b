"""`Continuation`: several sentences read once, then continued token by token from their caches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unimp.inference.forward import last_hidden, pictures_at
from unimp.inference.kept import Kept, inputs_from, lay_in
from unimp.model.cross_attention import View
from unimp.model.decoder import KVCache
from unimp.model.inputs import Inputs, ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.batch import collate
from unimp.sentence.encoder import EncodedSentence

Check = Callable[[], None]
"""Called between steps of long work; it raises when the work is not wanted any more."""


def nothing_to_check() -> None:
    """The work is always wanted."""


class Continuation:
    """Keys and values of the sentences and of their pictures are made once; every step adds one position."""

    def __init__(
        self,
        model: UnimpModel,
        state: ItemState,
        sentences: Sequence[EncodedSentence],
        room: int,
        kept: Kept | None = None,
    ) -> None:
        """`room`: most positions that will be added; `kept`: of the one user whose sentences these are."""
        self.model, self.state = model, state
        batch = collate(sentences, align_end=True).to(state.table_ID.device)
        size, width = batch.items.shape
        starts = [width - len(sentence) for sentence in sentences]
        self.cache: KVCache = model.decoder.new_cache(size, width + room, batch.starts)
        begun = kept.find(sentences[0]) if kept is not None else None
        if begun is not None:
            lay_in(self.cache, begun, sentences, starts)
        self.cache.own_positions = kept is not None
        inputs, picture_rows = inputs_from(batch, self.cache.used)
        self.pictures = model.look(pictures_at(state, picture_rows, batch.items.device))
        self.seen_BM = seen_at_end(inputs)
        self.query_text, self.query_pictures = batch.query_text, batch.query_pictures
        self.held_B = batch.items[:, -1].clamp(max=-1)
        """The ghost item that the last position holds: every further one holds it too; -1 for none."""
        self.hidden_BD = model(inputs, state, self.pictures, self.cache)[:, -1]
        if kept is not None and (begun is None or len(begun.seen) < sentences[0].history):
            kept.put(sentences[0], self.cache, starts[0])

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
            self.query_text,
            self.query_pictures,
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


@torch.inference_mode()
def hidden_at_end(
    model: UnimpModel, state: ItemState, sentences: Sequence[EncodedSentence], kept: Kept | None = None
) -> Tensor:
    """[U, D] where the answer to every sentence begins; with what is `kept` of the one user who asks."""
    if kept is None:
        return last_hidden(model, state, sentences)
    return Continuation(model, state, sentences, 0, kept).hidden_BD


def seen_at_end(inputs: Inputs) -> Tensor | None:
    """[B, M] which of the pictures shown each sentence's last position sees; None: nobody sees."""
    size, width = inputs.items_BT.shape
    most = max((view.pictures_GM.shape[1] for view in inputs.views), default=0)
    if not most:
        return None
    seen_BM = torch.full((size, most), -1, device=inputs.items_BT.device)
    for view in inputs.views:
        ends = (view.positions_N % width == width - 1).nonzero()[:, 0]
        pictures = view.pictures_GM[view.group_N[ends]]
        seen_BM[view.positions_N[ends] // width, : pictures.shape[1]] = pictures
    return seen_BM
