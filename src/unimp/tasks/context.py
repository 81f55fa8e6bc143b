"""`TaskContext`: what tasks make their examples and questions from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import overload

import numpy as np
import polars as pl

from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import Histories, IntArray
from unimp.data.interactions import RatingScale
from unimp.data.reviews import AspectLexicon, fit_lexicon, item_aspects, pick_sentence, reviews_of
from unimp.sentence.template import Template
from unimp.tasks.queries import QueryMaker


@dataclass(frozen=True)
class TaskContext:
    """The catalogue and the training part of the log, as tasks need them; costly parts on first use.

    `events` is the whole interaction table: of its texts, training looks only at rows that `train` names.
    """

    catalog: Catalog
    template: Template
    train: Histories
    scale: RatingScale | None = None
    events: pl.DataFrame | None = None
    logged_queries: pl.DataFrame | None = None
    codes: IntArray | None = None
    """[I, S] codes of every picture, -1 where there is none."""
    trained: TaskContext | None = field(default=None, repr=False)
    """The context over the catalogue as it was read; None: this one. What was learned from the log is its."""

    def with_items(self, catalog: Catalog) -> TaskContext:
        """The context over another version of the catalogue."""
        template = self.template.with_catalog(catalog)
        return replace(self, catalog=catalog, template=template, trained=self.trained or self)

    @cached_property
    def queries(self) -> QueryMaker:
        if self.trained is not None:
            return self.trained.queries
        return QueryMaker(self.catalog, self.logged_queries)

    @cached_property
    def lexicon(self) -> AspectLexicon:
        """Words that name what an item has, learned from training reviews."""
        if self.trained is not None:
            return self.trained.lexicon
        assert self.events is not None
        return fit_lexicon(reviews_of(self.train, self.events), self.catalog)

    @cached_property
    def aspects(self) -> Sequence[frozenset[str]]:
        """[I] the aspects that training reviews and its own attributes name of every item."""
        if self.trained is not None:
            return ChangedAspects(self, self.trained)
        assert self.events is not None
        return item_aspects(self.train, self.events, self.lexicon, self.catalog)

    def trained_on(self, item_row: int) -> bool:
        """Whether the training log has an event of the item."""
        if self.trained is not None:
            return self.trained.trained_on(item_row)
        return item_row < len(self._events_I) and bool(self._events_I[item_row])

    @cached_property
    def _events_I(self) -> IntArray:
        """Training events of each item."""
        return np.bincount(self.train.item_rows, minlength=len(self.catalog))

    @cached_property
    def has_reviews(self) -> bool:
        if self.trained is not None:
            return self.trained.has_reviews
        if self.events is None:
            return False
        rows = self.train.event_rows[self.train.event_rows >= 0]
        return bool(len(rows)) and self.events["review"].gather(rows).null_count() < len(rows)

    @cached_property
    def has_ratings(self) -> bool:
        return self.scale is not None and bool((~np.isnan(self.train.ratings)).any())

    @cached_property
    def said(self) -> Mapping[int, Sequence[str]]:
        """Item row -> what training users said of it."""
        if self.trained is not None:
            return self.trained.said
        said: dict[int, list[str]] = {}
        for row, event in zip(self.train.item_rows.tolist(), self.train.event_rows.tolist(), strict=True):
            sentence = self.review_sentence(event)
            if sentence:
                said.setdefault(row, []).append(sentence)
        return said

    @cached_property
    def aspects_by_texts(self) -> dict[tuple[int, tuple[str | None, ...]], frozenset[str]]:
        """Aspects of changed items, found so far, by row and attributes."""
        return {}

    @cached_property
    def _review_sentences(self) -> dict[int, str | None]:
        return {}

    def review_sentence(self, event_row: int) -> str | None:
        """The sentence that explains an event, picked from its review; None when it has none."""
        if self.trained is not None:
            return self.trained.review_sentence(event_row)
        if event_row < 0 or self.events is None:
            return None
        if event_row not in self._review_sentences:
            review, summary = self.events["review"][event_row], self.events["summary"][event_row]
            self._review_sentences[event_row] = pick_sentence(review, summary, self.lexicon)
        return self._review_sentences[event_row]

    def training_queries(self) -> list[str]:
        """The logged queries of the training events, event by event."""
        users = self.train.user_ids[self.train.owners()].tolist()
        keys = zip(users, self.train.item_rows.tolist(), strict=True)
        return [text for key in keys for text in self.queries.logged.get(key, ())]

    def training_sentences(self) -> list[str]:
        """The sentences that explain the training events, event by event."""
        sentences = (self.review_sentence(row) for row in self.train.event_rows.tolist())
        return [sentence for sentence in sentences if sentence]


@dataclass(frozen=True)
class ChangedAspects(Sequence[frozenset[str]]):
    """Aspects of a changed catalogue's items: those of training where the attributes are still the same."""

    context: TaskContext
    trained: TaskContext

    def __len__(self) -> int:
        return len(self.context.catalog)

    def __iter__(self) -> Iterator[frozenset[str]]:
        return (self._of(row) for row in range(len(self)))

    @overload
    def __getitem__(self, row: int) -> frozenset[str]: ...
    @overload
    def __getitem__(self, row: slice) -> list[frozenset[str]]: ...
    def __getitem__(self, row: int | slice) -> frozenset[str] | list[frozenset[str]]:
        if isinstance(row, slice):
            return [self._of(place) for place in range(*row.indices(len(self)))]
        return self._of(row)

    def _of(self, row: int) -> frozenset[str]:
        texts = tuple(values[row] for values in self.context.catalog.texts.values())
        old = self.trained.catalog
        if row < len(old) and texts == tuple(values[row] for values in old.texts.values()):
            return self.trained.aspects[row]
        found = self.trained.aspects_by_texts
        if (row, texts) not in found:
            found[row, texts] = self._name(row)
        return found[row, texts]

    def _name(self, row: int) -> frozenset[str]:
        """What training reviews and the item's present attributes name of it."""
        train, events = self.trained.train, self.trained.events
        assert events is not None
        met = np.flatnonzero(train.item_rows == row)
        reviews = Histories(
            np.array(["-"]),
            np.array([0, len(met)]),
            np.zeros(len(met), dtype=np.int64),
            train.ratings[met],
            train.times[met],
            train.event_rows[met],
        )
        return item_aspects(reviews, events, self.trained.lexicon, one_item(self.context.catalog, row))[0]


def one_item(catalog: Catalog, row: int) -> Catalog:
    """One item's words as a catalogue of their own."""
    texts = {a.name: catalog.texts[a.name][row] for a in catalog.attributes if a.kind != "number"}
    columns = {"item_id": [catalog.item_ids[row]], "picture": [None]} | {n: [t] for n, t in texts.items()}
    table = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String()))
    return Catalog(table, tuple(Attribute(name, "text") for name in texts))
