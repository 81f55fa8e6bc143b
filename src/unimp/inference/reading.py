"""Reading sentences behind what the prefix cache holds of them."""

# L layers, H heads, S positions of a cache, K head width, B sentences, U of all passes, T positions, D width

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from unimp.inference.forward import as_inputs, batch_pictures, batches_by_length, last_hidden
from unimp.inference.prefix import HistoryKey, Positions, Prefix
from unimp.inference.prefix_cache import PrefixCache
from unimp.model.decoder import KVCache
from unimp.model.inputs import Inputs, ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.batch import Batch, collate
from unimp.sentence.encoder import EncodedSentence, SentenceEncoder
from unimp.sentence.parts import UserSentence

SHORT = 4
"""Positions: an event, a query, and a little more. Longer rests are read apart, so that users with
one new event do not wait for padding."""
BUDGET = 8192
"""Most padded positions of one forward pass behind cached prefixes."""


class Write(Protocol):
    """Writes one user's sentence: all of it, or what follows its opening and so many `known` events."""

    def __call__(self, *, known: int | None = None) -> UserSentence: ...


@dataclass(frozen=True)
class DeferredSentence:
    """A sentence that is written only as far as the cache does not hold it."""

    events: HistoryKey
    """The history it begins with."""
    write: Write


@dataclass(frozen=True)
class Reading:
    """One sentence: `start` positions of it lie in `prefix`, the `rest` has to be read."""

    user: str
    """Empty: nothing of it is cached."""
    rest: EncodedSentence | None
    """None: the prefix is the whole sentence."""
    prefix: Prefix | None = None
    start: int = 0
    events: HistoryKey | None = None

    def to_insert(self, cache: KVCache, row: int, first: int, x_TD: Tensor) -> Prefix | None:
        """The history as it was read into a row of a cache, from position `first`; None: it is cached."""
        if not self.user or self.rest is None:
            return None
        if not self.rest.history:
            return self.known_by_events()
        read = slice(first, first + self.start + self.rest.history)
        more = Positions.of_history(self.rest)
        before = more if self.prefix is None else self.prefix.positions
        return Prefix(
            before.followed_by(self.start, more),
            cache.keys[:, row, :, read].clone(),
            cache.values[:, row, :, read].clone(),
            x_TD[self.rest.history - 1].clone(),
            self.events,
        )

    def known_by_events(self) -> Prefix | None:
        """The prefix with the history that it tells, where it was cached without; else None."""
        known = self.prefix
        if known is None or known.events is not None or self.events is None or self.start < len(known):
            return None
        return replace(known, events=self.events)


def plan_sentence(
    cache: PrefixCache | None, user: str, sentence: EncodedSentence, events: HistoryKey | None = None
) -> Reading:
    """What has to be read of a sentence: its last position, and what the cache does not hold."""
    if cache is None or not user or not sentence.history:
        return Reading("", sentence)
    found = cache.match(user, Positions.of_history(sentence))
    if found is None:
        return Reading(user, sentence, events=events)
    prefix, shared = found
    start = min(shared, len(sentence) - 1)
    return Reading(user, sentence.after(start), prefix, start, events)


def plan_deferred(
    cache: PrefixCache,
    user: str,
    sentence: DeferredSentence,
    encode: Callable[[UserSentence], EncodedSentence],
) -> Reading:
    """As `plan_sentence`; a history that the cache knows by its events is not written again."""
    prefix = cache.match_events(user, sentence.events) if user else None
    if prefix is None:
        return plan_sentence(cache, user, encode(sentence.write()), sentence.events)
    assert prefix.events is not None
    rest = sentence.write(known=len(prefix.events))
    if not rest.parts:
        return Reading(user, None, prefix, len(prefix))
    encoded = encode(rest).following(prefix.positions.pictures)
    return Reading(user, encoded, prefix, len(prefix), sentence.events)


@dataclass(frozen=True)
class ReadBatch:
    """Sentences whose rests were read in one forward pass, each behind its prefix."""

    batch: Batch
    """The rests."""
    inputs: Inputs
    pictures: tuple[Tensor, ...]
    cache: KVCache
    """Row b's positions stand at `starts_B[b]` … `before`, then those of its rest, then padding."""
    x_BTD: Tensor

    @property
    def hidden_BD(self) -> Tensor:
        """After the last position of each."""
        lengths_B = self.batch.lengths
        return self.x_BTD[torch.arange(len(lengths_B), device=lengths_B.device), lengths_B - 1]


def read_rests(
    model: UnimpModel,
    state: ItemState,
    readings: Sequence[Reading],
    prefixes: PrefixCache | None,
    room: int = 0,
) -> ReadBatch:
    """One forward pass over what is new of each sentence; new histories are cached.

    room: further positions that the pass's own cache has space for.
    """
    rests = [reading.rest for reading in readings if reading.rest is not None]
    batch = collate(rests).to(state.table_ID.device)
    size, length = batch.items.shape
    before = max(reading.start for reading in readings)
    starts = [before - reading.start for reading in readings]
    starts_B = batch.lengths.new_tensor(starts) if before else None
    cache = model.decoder.new_cache(size, before + length + room, starts_B)
    cache.used, cache.own_positions = before, True
    for row, reading in enumerate(readings):
        if reading.prefix is not None:
            known = slice(starts[row], before)
            cache.keys[:, row, :, known] = reading.prefix.keys_LHSK[:, :, : reading.start]
            cache.values[:, row, :, known] = reading.prefix.values_LHSK[:, :, : reading.start]
    inputs, pictures = as_inputs(batch), model.look(batch_pictures(state, batch))
    before_BS = items_before(readings, starts, before)
    before_BS = None if before_BS is None else before_BS.to(batch.items.device)
    x_BTD = model.answers(model(inputs, state, pictures, cache), inputs, state, before_BS)
    if prefixes is not None:
        for row, reading in enumerate(readings):
            prefix = reading.to_insert(cache, row, starts[row], x_BTD[row])
            if prefix is not None:
                prefixes.insert(reading.user, prefix)
    return ReadBatch(batch, inputs, pictures, cache, x_BTD)


def items_before(readings: Sequence[Reading], starts: Sequence[int], before: int) -> Tensor | None:
    """[B, before] item rows of the cached positions, laid as in the pass's own cache; None: none are."""
    if not before:
        return None
    rows_BS = torch.full((len(readings), before), -1)
    for row, reading in enumerate(readings):
        if reading.prefix is not None:
            rows_BS[row, starts[row] :] = torch.from_numpy(reading.prefix.positions.items[: reading.start])
    return rows_BS


@torch.inference_mode()
def hidden_at_end(
    model: UnimpModel,
    state: ItemState,
    sentences: Sequence[EncodedSentence],
    cache: PrefixCache | None = None,
    users: Sequence[str] = (),
) -> Tensor:
    """[U, D] where the answer to every sentence begins.

    With a cache, what it holds of the sentence's user is not read again; `users` names one for each
    sentence, "" for a sentence of which nothing shall be cached.
    """
    if cache is None:
        return last_hidden(model, state, sentences)
    plans = [plan_sentence(cache, user, sentence) for user, sentence in zip(users, sentences, strict=True)]
    return hidden_of(model, state, plans, cache)


@torch.inference_mode()
def hidden_after(
    model: UnimpModel,
    state: ItemState,
    encoder: SentenceEncoder,
    sentences: Sequence[DeferredSentence],
    cache: PrefixCache,
    users: Sequence[str],
) -> Tensor:
    """[U, D] as `hidden_at_end`, of sentences that are written as far as needed."""
    plans = [
        plan_deferred(cache, user, sentence, encoder.encode)
        for user, sentence in zip(users, sentences, strict=True)
    ]
    return hidden_of(model, state, plans, cache)


def hidden_of(model: UnimpModel, state: ItemState, readings: Sequence[Reading], cache: PrefixCache) -> Tensor:
    """[U, D]; rests of similar length share a forward pass."""
    hidden_UD = state.table_ID.new_empty(len(readings), model.answer_width)
    for row, reading in enumerate(readings):
        if reading.rest is None and reading.prefix is not None:
            hidden_UD[row] = reading.prefix.hidden_D
    lengths = [0 if reading.rest is None else len(reading.rest) for reading in readings]
    short = [row for row, length in enumerate(lengths) if 0 < length <= SHORT]
    long = [row for row, length in enumerate(lengths) if length > SHORT]
    for group in (short, long):
        for places in batches_by_length([lengths[row] for row in group], BUDGET):
            rows = [group[place] for place in places]
            hidden_UD[rows] = read_rests(model, state, [readings[row] for row in rows], cache).hidden_BD
    return hidden_UD
