"""`TaskContext`: what tasks make their examples and questions from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from unimp.data.catalog import Catalog
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

    @cached_property
    def queries(self) -> QueryMaker:
        return QueryMaker(self.catalog, self.logged_queries)

    @cached_property
    def lexicon(self) -> AspectLexicon:
        """Words that name what an item has, learned from training reviews."""
        assert self.events is not None
        return fit_lexicon(reviews_of(self.train, self.events), self.catalog)

    @cached_property
    def aspects(self) -> list[frozenset[str]]:
        """[I] the aspects that training reviews and its own attributes name of every item."""
        assert self.events is not None
        return item_aspects(self.train, self.events, self.lexicon, self.catalog)

    @cached_property
    def has_reviews(self) -> bool:
        if self.events is None:
            return False
        rows = self.train.event_rows[self.train.event_rows >= 0]
        return bool(len(rows)) and self.events["review"].gather(rows).null_count() < len(rows)

    @cached_property
    def has_ratings(self) -> bool:
        return self.scale is not None and bool((~np.isnan(self.train.ratings)).any())

    @cached_property
    def _review_sentences(self) -> dict[int, str | None]:
        return {}

    def review_sentence(self, event_row: int) -> str | None:
        """The sentence that explains an event, picked from its review; None when it has none."""
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
