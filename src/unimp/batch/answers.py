"""The answers of one shard, as columns beside what was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from unimp.answer import Query
from unimp.batch.lines import COUNT, LINE, candidate_ids
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.data.pictures import png_bytes
from unimp.inference.retrieval import best_items
from unimp.personalizer import Personalizer
from unimp.tasks.rating.decoder import normalised

AT_ONCE = 256
"""Lines answered by one call: bounds the memory at AT_ONCE x items."""


@dataclass(frozen=True)
class BatchAnswers:
    """A task for many users."""

    personalizer: Personalizer
    task: str
    k: int = 10
    seed: int = 0

    def answer(self, asked: pl.DataFrame, start: int) -> pl.DataFrame:
        """Line by line; `start` is the place of the first in the whole batch."""
        pieces = [
            self.piece(asked.slice(place, AT_ONCE), start + place)
            for place in range(0, asked.height, AT_ONCE)
        ]
        return pl.concat(pieces)

    def piece(self, asked: pl.DataFrame, start: int) -> pl.DataFrame:
        """The answers of at most AT_ONCE lines, by one call of the model."""
        interactions = self.personalizer.run.dataset.interactions
        positions = [interactions.user_position[user] for user in asked["user_id"].to_list()]
        histories = interactions.histories.select(positions)
        tasks: dict[str, Callable[[], list[pl.Series]]] = {
            "recommendation": lambda: self.best(histories, self.personalizer.answerer.score(histories)),
            "search": lambda: self.search(histories, asked["text"].to_list()),
            "rating": lambda: self.rate(histories, asked["item_id"].to_list()),
            "explanation": lambda: self.explain(histories, asked["item_id"].to_list()),
            "selection": lambda: self.select(histories, asked),
            "imagination": lambda: self.imagine(histories, asked["text"].to_list(), start),
        }
        return asked.drop(LINE).with_columns(tasks[self.task]())

    def best(self, histories: Histories, scores: FloatArray) -> list[pl.Series]:
        """The k best new items."""
        for user, of_items in enumerate(scores):
            of_items[histories.items_of(user)] = -np.inf
        found = best_items(self.personalizer.run.dataset.catalog, scores, [self.k] * len(scores))
        ids = [[item.item_id for item in items] for items in found]
        values = [[item.score for item in items] for items in found]
        return [
            pl.Series("item_ids", ids, dtype=pl.List(pl.String)),
            pl.Series("scores", values, dtype=pl.List(pl.Float32)),
        ]

    def search(self, histories: Histories, texts: Sequence[str]) -> list[pl.Series]:
        queries = [Query(text.strip()) for text in texts]
        return self.best(histories, self.personalizer.answerer.search(histories, queries))

    def rate(self, histories: Histories, item_ids: list[str]) -> list[pl.Series]:
        """The mean, and the probability of every level of the scale."""
        shares = self.personalizer.answerer.forecast(histories, self.rows(item_ids))
        means = shares @ self.personalizer.answerer.levels
        return [
            pl.Series("rating", means, dtype=pl.Float32),
            pl.Series("probabilities", shares.tolist(), dtype=pl.List(pl.Float32)),
        ]

    def explain(self, histories: Histories, item_ids: list[str]) -> list[pl.Series]:
        said = self.personalizer.answerer.explain(histories, self.rows(item_ids))
        return [
            pl.Series("text", [one.text for one in said], dtype=pl.String),
            pl.Series("rating", [one.rating for one in said], dtype=pl.Float32),
        ]

    def select(self, histories: Histories, asked: pl.DataFrame) -> list[pl.Series]:
        """Ids of the chosen, best first, and each candidate's probability of being the first choice."""
        selector = self.personalizer.answerer.selector
        assert selector is not None
        catalog = self.personalizer.run.dataset.catalog
        given = [candidate_ids(text) for text in asked["candidates"].to_list()]
        # in the catalogue's order, whatever the order given: the answer cannot depend on it
        rows = [np.sort(self.rows(ids)) for ids in given]
        counts = asked[COUNT].to_list() if COUNT in asked.columns else [None] * len(given)
        places = selector.select(histories, rows, [int(count or 1) for count in counts])
        scores = selector.log_probabilities(histories, rows)[0] + selector.mixed(histories, rows)
        chosen, probabilities = [], []
        for ids, known, best, share in zip(given, rows, places, normalised(scores), strict=True):
            chosen.append([catalog.item_ids[row] for row in known[best].tolist()])
            share_of = dict(zip(known.tolist(), share.tolist(), strict=False))
            probabilities.append([share_of[row] for row in self.rows(ids).tolist()])
        return [
            pl.Series("candidates", given, dtype=pl.List(pl.String)),
            pl.Series("chosen", chosen, dtype=pl.List(pl.String)),
            pl.Series("probabilities", probabilities, dtype=pl.List(pl.Float32)),
        ]

    def imagine(self, histories: Histories, texts: Sequence[str], start: int) -> list[pl.Series]:
        """A picture for each line, as the bytes of a PNG file."""
        queries = [Query(text.strip()) for text in texts]
        drawn = self.personalizer.answerer.imagine(histories, queries, self.seed + start)
        return [pl.Series("picture", [png_bytes(picture) for picture in drawn], dtype=pl.Binary)]

    def rows(self, item_ids: list[str]) -> IntArray:
        return np.array(self.personalizer.run.dataset.catalog.rows(item_ids), dtype=np.int64)
