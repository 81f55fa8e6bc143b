"""`WarmReader`: hidden states at the end of histories, read on from what is kept of each user."""

# L layers, H heads, S positions read, K head width, B users of a batch, T new positions, D width

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unimp.answer import Query
from unimp.data.histories import FloatArray, Histories
from unimp.inference.forward import as_inputs, batch_pictures, batches_by_length
from unimp.inference.retrieval import ModelRanker, ModelSearcher, log_probabilities_at
from unimp.inference.warm import Seen, WarmMemory, WarmState, by_length
from unimp.sentence.batch import collate
from unimp.sentence.encoder import EncodedSentence
from unimp.sentence.template import Writer

SHORT = 4
"""Positions: an event, a query, and a little more."""
BUDGET = 8192
"""Most padded positions of one forward pass."""


@dataclass
class Reading:
    """What is to be read of one user: nothing, or new events and perhaps a query."""

    user: str | None
    """None: nothing is kept."""
    seen: Seen
    begun: WarmState | None
    fresh: EncodedSentence | None
    events: int
    """Positions of `fresh` that belong to the history; the others ask."""

    @property
    def begins(self) -> int:
        """Positions read before."""
        return 0 if self.begun is None else self.begun.positions


@dataclass
class WarmReader:
    """Reads for one ranker, or one searcher; what it keeps lies in `memory`."""

    of: ModelRanker | ModelSearcher
    memory: WarmMemory
    width: int = field(init=False)

    def __post_init__(self) -> None:
        self.width = self.of.model.width

    def score(self, users: Sequence[str | None], histories: Histories) -> FloatArray:
        """[U, I] as `ModelRanker.score`."""
        assert isinstance(self.of, ModelRanker)
        hidden = self.hidden(users, histories, [None] * len(users))
        return self.of.mixed(log_probabilities_at(self.of.model, self.of.state, hidden), histories)

    def search(
        self, users: Sequence[str | None], histories: Histories, queries: Sequence[Query]
    ) -> FloatArray:
        """[U, I] as `ModelSearcher.search`."""
        assert isinstance(self.of, ModelSearcher)
        hidden = self.hidden(users, histories, queries)
        scores = log_probabilities_at(self.of.model, self.of.state, hidden)
        return self.of.mixed(scores, histories, queries)

    @torch.inference_mode()
    def hidden(
        self, users: Sequence[str | None], histories: Histories, queries: Sequence[Query | None]
    ) -> Tensor:
        """[U, D] after each history, or after the query that follows it."""
        readings = [
            self._plan(user, histories, place, query)
            for place, (user, query) in enumerate(zip(users, queries, strict=True))
        ]
        hidden = self.of.state.table_ID.new_empty(len(readings), self.width)
        for row, reading in enumerate(readings):
            if reading.fresh is None and reading.begun is not None and reading.begun.hidden_D is not None:
                hidden[row] = reading.begun.hidden_D
        lengths = [0 if reading.fresh is None else len(reading.fresh) for reading in readings]
        for group in by_length(lengths, SHORT):
            for places in batches_by_length([lengths[row] for row in group], BUDGET):
                rows = [group[place] for place in places]
                hidden[rows] = self._read([readings[row] for row in rows])
        return hidden

    def _plan(self, user: str | None, histories: Histories, place: int, query: Query | None) -> Reading:
        task = self.of.task
        config = task.template.config
        seen = Seen.latest(histories, place, config.max_items, ratings=config.ratings)
        begun = self.memory.find((task.words, user), seen) if user is not None else None
        known = 0 if begun is None else len(begun.seen)
        writer = task.template.begin(task.words) if begun is None else Writer(task.template)
        for row, rating in zip(seen.item_rows[known:].tolist(), seen.ratings[known:].tolist(), strict=True):
            writer.item(row)
            if config.ratings:
                writer.rating(None if rating != rating else rating)
        encode = self.of.encoder.encode
        fresh = encode(writer.done()) if writer.parts else None
        events = 0 if fresh is None else len(fresh)
        if query is not None:
            fresh = encode(writer.asking(query).done())
        return Reading(user, seen, begun, fresh, events)

    def _read(self, readings: Sequence[Reading]) -> Tensor:
        """[B, D] one forward pass over what is new of each; what is new of the histories is kept."""
        of, model = self.of, self.of.model
        fresh = [reading.fresh for reading in readings if reading.fresh is not None]
        batch = collate(fresh).to(of.state.table_ID.device)
        size, length = batch.items.shape
        before = max(reading.begins for reading in readings)
        starts = [before - reading.begins for reading in readings]
        cache = model.decoder.new_cache(size, before + length, batch.lengths.new_tensor(starts))
        cache.used, cache.own_positions = before, True
        for row, reading in enumerate(readings):
            if reading.begun is not None:
                cache.keys[:, row, :, starts[row] : before] = reading.begun.keys_LHSK
                cache.values[:, row, :, starts[row] : before] = reading.begun.values_LHSK
        pictures = model.look(batch_pictures(of.state, batch))
        x_BTD = model(as_inputs(batch), of.state, pictures, cache)
        for row, reading in enumerate(readings):
            if reading.events and reading.user is not None:
                read = slice(starts[row], before + reading.events)
                state = WarmState(
                    reading.seen,
                    cache.keys[:, row, :, read].clone(),
                    cache.values[:, row, :, read].clone(),
                    x_BTD[row, reading.events - 1].clone(),
                )
                self.memory.put((of.task.words, reading.user), state)
        return x_BTD[torch.arange(size, device=x_BTD.device), batch.lengths - 1]
