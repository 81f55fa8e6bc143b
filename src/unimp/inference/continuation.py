"""`Continuation`: sentences read once, then continued token by token."""

# L layers, H heads, S positions of a cache, K head width, B sentences, N tokens, M pictures, D width

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.reading import plan_sentence, read_rests
from unimp.model.cross_attention import View
from unimp.model.decoder import KVCache
from unimp.model.inputs import Inputs, ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.encoder import EncodedSentence

Check = Callable[[], None]
"""Called between steps of long work; it raises when the work is not wanted any more."""


def nothing_to_check() -> None:
    """The work is always wanted."""


class Continuation:
    """Sentences that are read once, then continued token by token: every step adds one position to each."""

    def __init__(
        self,
        model: UnimpModel,
        state: ItemState,
        sentences: Sequence[EncodedSentence],
        room: int,
        cache: PrefixCache | None = None,
        users: Sequence[str] = (),
    ) -> None:
        """`room`: most positions that will be added; `cache` and `users` as in `hidden_at_end`."""
        self.model, self.state = model, state
        names = users if cache is not None else [""] * len(sentences)
        plans = [
            plan_sentence(cache, user, sentence) for user, sentence in zip(names, sentences, strict=True)
        ]
        read = read_rests(model, state, plans, cache, room)
        self.cache = aligned(read.cache, read.batch.lengths, read.batch.items.shape[1])
        self.pictures = read.pictures
        self.query_text, self.query_pictures = read.batch.query_text, read.batch.query_pictures
        ends_B = read.batch.lengths - 1
        self.seen_BM = seen_at_end(read.inputs, ends_B)
        """Pictures that the last position sees, and so every further one; None: nobody sees any."""
        self.held_B = read.batch.items.gather(1, ends_B[:, None])[:, 0].clamp(max=-1)
        """The query item that the last position holds: every further one holds it too; -1 for none."""
        self.hidden_BD = read.hidden_BD[:, : model.width]

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


def aligned(cache: KVCache, lengths_B: Tensor, length: int) -> KVCache:
    """The cache with each row moved to the right, over the padding behind it, so that all end together."""
    shifts_B = length - lengths_B
    if not shifts_B.any():
        return cache
    starts_B = shifts_B if cache.starts_B is None else cache.starts_B + shifts_B
    places_BS = torch.arange(cache.capacity, device=shifts_B.device) - shifts_B[:, None]
    index = places_BS.clamp(min=0)[None, :, None, :, None]
    keys = cache.keys.gather(3, index.expand_as(cache.keys))
    values = cache.values.gather(3, index.expand_as(cache.values))
    return replace(cache, keys=keys, values=values, starts_B=starts_B)


def seen_at_end(inputs: Inputs, ends_B: Tensor | None = None) -> Tensor | None:
    """[B, M] which of the pictures shown each sentence's last position sees; None: nobody sees.

    ends_B: where the last positions stand; None: at the end of every row.
    """
    size, width = inputs.items_BT.shape
    device = inputs.items_BT.device
    most = max((view.pictures_GM.shape[1] for view in inputs.views), default=0)
    if not most:
        return None
    ends_B = torch.full((size,), width - 1, device=device) if ends_B is None else ends_B
    seen_BM = torch.full((size, most), -1, device=device)
    for view in inputs.views:
        rows_N = view.positions_N // width
        ends = (view.positions_N % width == ends_B[rows_N]).nonzero()[:, 0]
        pictures = view.pictures_GM[view.group_N[ends]]
        seen_BM[rows_N[ends], : pictures.shape[1]] = pictures
    return seen_BM
