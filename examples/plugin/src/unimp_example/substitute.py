"""Substitute: an item is out of stock; which items would this user take instead?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unimp.answer import Query, RankedItem, Searcher
from unimp.data.histories import Cases, FloatArray, Histories, IntArray
from unimp.metrics.ranking import mask_history, metric_values, ranking_metrics, target_ranks
from unimp.sentence.parts import Role, UserSentence
from unimp.sentence.template import events_of
from unimp.tasks.context import TaskContext
from unimp.tasks.ranking import best_of, history_ids, item_lines
from unimp.tasks.requests import ItemCount, ItemField, TaskRequest, with_example
from unimp.tasks.task import Task, TaskScore
from unimp.tasks.windows import Window, cut_windows

if TYPE_CHECKING:
    from unimp.inference.searching import ModelSearcher
    from unimp.tasks.decoding import DecoderParts


class SubstituteRequest(TaskRequest):
    """Items that the user would take instead of one that is out of stock."""

    model_config = with_example(user="U00001", item="P00003", k=5)

    item: ItemField
    """The item that is out of stock."""
    k: ItemCount = 5
    """How many items."""

    @property
    def item_ids(self) -> tuple[str, ...]:
        return (self.item,)


@dataclass(frozen=True)
class Substitutes:
    """Items in falling order of score; never the one that is out of stock."""

    instead_of: str
    items: tuple[RankedItem, ...]
    history: tuple[str, ...]
    cold_start: bool = False


class SubstituteTask(Task[SubstituteRequest, Substitutes, "ModelSearcher", Searcher]):
    """Dense: the last event of a stretch is preceded by a query that describes another item of its category.

    The model reads the missing item as a query (its category values and its picture), never by its identity.
    """

    name = "substitute"
    command = "substitute"
    summary = "Items to take instead of one that is out of stock."
    words = "find what the user takes instead"
    headline = "NDCG@5"
    Request = SubstituteRequest
    Answer = Substitutes
    answer_example: Mapping[str, Any] = {
        "instead_of": "P00003",
        "items": [{"item_id": "P00007", "title": "Maple bag", "score": -2.31}],
        "history": ["P00004"],
        "cold_start": False,
    }
    ranks_items = True

    @classmethod
    def lacks(cls, context: TaskContext) -> str | None:
        return None if context.queries.members else "category attributes that items share"

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        return cut_windows(histories, max_items, rng, draws=True)

    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        rng = np.random.default_rng(window.draw)
        *before, last = events_of(histories, window.user, window.start, window.stop)
        writer = self.template.begin(self.words)
        for event in before:
            writer.item(event.item_row)
        missing = self.alike(last.item_row, rng)
        if missing is not None:
            writer.asking(self.description(missing))
        writer.item(last.item_row, Role.CONTEXT if missing is None else Role.ANSWER)
        return writer.done()

    def question(
        self, histories: Histories, user: int, query: Query, *, known: int | None = None
    ) -> UserSentence:
        """The history, then what describes the missing item; `known` as in `begin_question`."""
        return self.begin_question(histories, user, known).asking(query).done()

    def description(self, row: int) -> Query:
        """An item's category values and picture."""
        picture = row if self.context.queries.has_picture[row] else -1
        return Query(" ".join(value for _, value in self.context.queries.values[row]), picture)

    def alike(self, row: int, rng: np.random.Generator) -> int | None:
        """Another item of the same category, drawn evenly; None where there is none."""
        others = self.context.queries.likes_of(row)
        others = others[others != row]
        return int(others[rng.integers(len(others))]) if len(others) else None

    def decoder(self, parts: DecoderParts) -> ModelSearcher:
        from unimp.inference.searching import ModelSearcher

        return ModelSearcher(
            parts.model, parts.state, parts.encoder, self, parts.sources, parts.weights(self)
        )

    def answer(
        self,
        decoder: ModelSearcher,
        histories: Histories,
        requests: Sequence[SubstituteRequest],
        picture_rows: Sequence[int] = (),
    ) -> list[Substitutes]:
        catalog = self.context.catalog
        missing = np.array(catalog.rows([request.item for request in requests]), dtype=np.int64)
        scores = self.scores(decoder, histories, missing)
        counts = [request.k for request in requests]
        found = best_of(catalog, scores, histories, counts, [True] * len(requests))
        return [
            Substitutes(request.item, items, history, not history)
            for request, items, history in zip(requests, found, history_ids(catalog, histories), strict=True)
        ]

    def lines(self, answer: Substitutes) -> list[str]:
        return item_lines(f"instead of {answer.instead_of}", answer.items)

    def scores(self, method: Searcher, histories: Histories, missing: IntArray) -> FloatArray:
        """[U, I] of the items to take instead; the missing one is left out."""
        scores = np.array(method.search(histories, [self.description(row) for row in missing.tolist()]))
        scores[np.arange(len(scores)), missing] = -np.inf
        return scores

    def references(self, parts: DecoderParts) -> Mapping[str, Searcher]:
        """The most popular item that fits the description."""
        return {"popular and alike": PopularAndAlike(self.context)}

    def score(
        self, method: Searcher, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """HR, NDCG, MRR of the item that was chosen, where another of its category is out of stock."""
        ranks = np.full(len(cases), np.nan)
        missing = np.full(len(cases), -1, dtype=np.int64)
        for case, (row, event) in enumerate(
            zip(cases.target_rows.tolist(), cases.target_events.tolist(), strict=True)
        ):
            found = self.alike(row, np.random.default_rng([19, max(event, 0)])) if row >= 0 else None
            missing[case] = -1 if found is None else found
        asked = np.flatnonzero(missing >= 0)
        if len(asked):
            batch = cases.select(asked)
            scores = self.scores(method, batch.histories, missing[asked])
            if exclude_history:
                mask_history(scores, batch.histories)
            ranks[asked] = target_ranks(scores, batch.target_rows)
        unscored = int(np.isnan(ranks).sum())
        return TaskScore(ranking_metrics(ranks), len(cases), unscored, ranks, metric_values(ranks, "NDCG", 5))


@dataclass(frozen=True)
class PopularAndAlike:
    """Items by the number of category values that they share with the description, then by popularity."""

    context: TaskContext

    def search(self, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        """See `Searcher`."""
        maker, train = self.context.queries, self.context.train
        counts = np.bincount(train.item_rows, minlength=len(self.context.catalog)).astype(np.float32)
        scores = np.tile(counts / (counts.max() + 1.0), (len(queries), 1))
        for row, query in zip(scores, queries, strict=True):
            for (_, value), members in maker.members.items():
                if value in query.text:
                    row[members] += 1.0
        return scores
