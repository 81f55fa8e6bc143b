"""Search: words, a picture, or both; the items that answer them, in this user's taste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from unimp.answer import Query, Searcher
from unimp.core.progress import progress_bar
from unimp.data.histories import Cases, Histories
from unimp.metrics.ranking import (
    RankArray,
    mask_history,
    metric_values,
    ranking_metrics,
    target_ranks,
    users_at_a_time,
)
from unimp.sentence.parts import Role, UserSentence
from unimp.sentence.template import events_of
from unimp.tasks.context import TaskContext
from unimp.tasks.queries import Posed
from unimp.tasks.ranking import history_ids, item_columns, item_lines, ranked_items
from unimp.tasks.search.schema import ANSWER_EXAMPLE, SearchRequest, SearchResult
from unimp.tasks.task import Task, TaskScore
from unimp.tasks.windows import Window, cut_windows

if TYPE_CHECKING:
    import polars as pl

    from unimp.fusion.structure import StructureConfig
    from unimp.fusion.weights import FittedWeights
    from unimp.inference.searching import ModelSearcher
    from unimp.tasks.decoding import DecoderParts

QUERY_SHARE = 0.3
"""Share of a history's events that a query precedes while training; the latest always has one."""
BATCH = 512
SATISFIED = 5
"""First places that are looked at for whether they satisfy the query."""


class SearchTask(Task[SearchRequest, SearchResult, "ModelSearcher", Searcher]):
    """Dense: some events of a training sentence are preceded by a query that their item satisfies."""

    name = "search"
    command = "search"
    summary = "Search with words, a picture, or both."
    words = "search for what the user asks"
    headline = "NDCG@5"
    Request = SearchRequest
    Answer = SearchResult
    answer_example = ANSWER_EXAMPLE
    ranks_items = True
    shows_pictures = True
    chooses_items = True

    @classmethod
    def lacks(cls, context: TaskContext) -> str | None:
        maker = context.queries
        if not maker.members and not maker.logged:
            return "category attributes that items share, or logged queries"
        return None

    @classmethod
    def extra_words(cls, context: TaskContext) -> Mapping[str, Sequence[str]]:
        return {"logged queries": context.training_queries()}

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        return cut_windows(histories, max_items, rng, draws=True)

    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        rng = np.random.default_rng(window.draw)
        user = str(histories.user_ids[window.user])
        events = events_of(histories, window.user, window.start, window.stop)
        queried = rng.random(len(events)) < QUERY_SHARE
        queried[-1:] = True
        writer = self.template.begin(self.words)
        for event, with_query in zip(events, queried.tolist(), strict=True):
            posed = self.context.queries.pose(event.item_row, user, rng) if with_query else None
            if posed is not None:
                writer.asking(posed.query)
            writer.item(event.item_row, Role.CONTEXT if posed is None else Role.ANSWER)
            if self.template.config.ratings:
                writer.rating(event.rating)
        return writer.done()

    def question(
        self, histories: Histories, user: int, query: Query, *, known: int | None = None
    ) -> UserSentence:
        """All of a user's events, then the query: the item that answers it comes next.

        `known` as in `begin_question`.
        """
        return self.begin_question(histories, user, known).asking(query).done()

    def queries(self, cases: Cases) -> list[Posed | None]:
        """The query of every case, always the same for the same held-out event; None: no query fits it."""
        posed: list[Posed | None] = []
        for user, row, event in zip(
            cases.histories.user_ids.tolist(),
            cases.target_rows.tolist(),
            cases.target_events.tolist(),
            strict=True,
        ):
            rng = np.random.default_rng([11, max(event, 0), max(row, 0)])
            posed.append(self.context.queries.pose(row, user, rng) if row >= 0 else None)
        return posed

    def decoder(self, parts: DecoderParts) -> ModelSearcher:
        from unimp.inference.searching import ModelSearcher

        return ModelSearcher(
            parts.model, parts.state, parts.encoder, self, parts.sources, parts.weights(self)
        )

    def answer(
        self,
        decoder: ModelSearcher,
        histories: Histories,
        requests: Sequence[SearchRequest],
        picture_rows: Sequence[int] = (),
    ) -> list[SearchResult]:
        catalog, rows = self.context.catalog, picture_rows or [-1] * len(requests)
        queries = [Query(request.text.strip(), row) for request, row in zip(requests, rows, strict=True)]
        counts, excluded = [r.k for r in requests], [r.exclude_history for r in requests]
        found = ranked_items(catalog, decoder.best(histories, queries, counts, excluded))
        return [
            SearchResult(items, query.text, query.has_picture, history, not history)
            for items, query, history in zip(found, queries, history_ids(catalog, histories), strict=True)
        ]

    def columns(self, answers: Sequence[SearchResult]) -> list[pl.Series]:
        return item_columns([answer.items for answer in answers])

    def lines(self, answer: SearchResult) -> list[str]:
        return item_lines("found", answer.items)

    def fit_fusion(
        self, decoder: ModelSearcher, valid: Cases, config: StructureConfig, *, exclude_history: bool = True
    ) -> FittedWeights:
        from unimp.tasks.search.fitting import fit_search

        return fit_search(decoder, self, valid, config, exclude_history=exclude_history)

    def references(self, parts: DecoderParts) -> Mapping[str, Searcher]:
        """BM25, and latent semantic analysis where the model has it too."""
        from unimp.tasks.search.references import Bm25, DenseText

        catalog = self.context.catalog
        found: dict[str, Searcher] = {"BM25": Bm25.fit(catalog)}
        if parts.sources.words is not None:
            found["dense text"] = DenseText.fit(catalog)
        return found

    def score(
        self, method: Searcher, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """HR, NDCG, MRR of the user's own item over the full catalogue; satisfied@5 of the whole answer."""
        posed = self.queries(cases)
        ranks: RankArray = np.full(len(cases), np.nan)
        satisfied: list[float] = []
        scored = np.array([row for row, query in enumerate(posed) if query is not None], dtype=np.int64)
        with progress_bar("searching", len(scored), show=show) as bar:
            size = min(BATCH, users_at_a_time(len(self.context.catalog)))
            for start in range(0, len(scored), size):
                rows = scored[start : start + size]
                batch = cases.select(rows)
                chosen = [query for row in rows.tolist() if (query := posed[row]) is not None]
                scores = np.array(method.search(batch.histories, [query.query for query in chosen]))
                if exclude_history:
                    mask_history(scores, batch.histories)
                ranks[rows] = target_ranks(scores, batch.target_rows)
                satisfied.extend(satisfaction(scores, chosen))
                bar.advance(len(rows))
        metrics = ranking_metrics(ranks)
        metrics[f"satisfied@{SATISFIED}"] = float(np.mean(satisfied)) if satisfied else float("nan")
        unscored = int(np.isnan(ranks).sum())
        return TaskScore(metrics, len(cases), unscored, ranks, metric_values(ranks, "NDCG", 5))


def satisfaction(scores: np.ndarray, posed: Sequence[Posed]) -> list[float]:
    """Of each answer, the share of the first places that satisfy the query, where that is known."""
    best = np.argpartition(-scores, min(SATISFIED, scores.shape[1] - 1), axis=1)[:, :SATISFIED]
    return [
        float(np.isin(rows, query.positives).mean())
        for rows, query in zip(best, posed, strict=True)
        if query.positives is not None
    ]
