"""`Answering`: many questions, one call of the model. Everything here runs in the model's thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unimp.answer import Query, RankedItem, Recommendation, SearchResult
from unimp.data.histories import FloatArray, Histories
from unimp.inference.retrieval import best_items
from unimp.serve.http.live_model import LiveModel
from unimp.serve.http.people import Past, together
from unimp.serve.http.settings import ServeSettings


@dataclass(frozen=True)
class Ranking:
    """A question that many users may ask at once."""

    past: Past
    k: int
    exclude_history: bool = True
    text: str = ""


class Answering:
    """Ranks for recommendation and search, from what is kept of each user."""

    def __init__(self, live: LiveModel, settings: ServeSettings) -> None:
        self.live, self.settings = live, settings

    def recommend_all(self, questions: Sequence[Ranking]) -> list[Recommendation]:
        scores = self.live.answerer.score(self._asked(questions))
        return [
            Recommendation(items, *self._read(one.past))
            for items, one in zip(self.best(scores, questions), questions, strict=True)
        ]

    def search_all(self, questions: Sequence[Ranking]) -> list[SearchResult]:
        queries = [Query(one.text.strip()) for one in questions]
        scores = self.live.answerer.search(self._asked(questions), queries)
        return [
            SearchResult(items, query.text, False, *self._read(one.past))
            for items, query, one in zip(self.best(scores, questions), queries, questions, strict=True)
        ]

    def _asked(self, questions: Sequence[Ranking]) -> Histories:
        if self.settings.keep == "nothing":  # for measurements: what a service pays that keeps no table
            run = self.live.personalizer.run
            with torch.inference_mode():
                run.model.item_state(run.artifacts.items)
        return together([one.past for one in questions])

    def best(self, scores: FloatArray, questions: Sequence[Ranking]) -> list[tuple[RankedItem, ...]]:
        """Each question's k best of its row of [U, I] scores, equals in the catalogue's order."""
        for row, one in zip(scores, questions, strict=True):
            if one.exclude_history:
                row[one.past.item_rows] = -np.inf
        return best_items(self.live.catalog, scores, [one.k for one in questions])

    def _read(self, past: Past) -> tuple[tuple[str, ...], bool]:
        """The history, and whether it was a cold start."""
        return tuple(past.item_ids(self.live.catalog)), len(past.item_rows) == 0
