"""`ServedModel`: the opened run with the items put since and the prefixes cached of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from unimp.answer import PictureArray, Query, RankedItem, Recommendation, SearchResult
from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.growing import Fetch
from unimp.data.histories import FloatArray, Histories
from unimp.data.pictures import fit_pixels
from unimp.inference.continuation import Check
from unimp.inference.retrieval import best_items
from unimp.inference.warm import WarmMemory
from unimp.inference.warm_reading import WarmReader
from unimp.personalizer import Personalizer
from unimp.runs.updates import NewItem, Stock
from unimp.serve.schemas import RecommendIn, SearchIn, TaskRequest
from unimp.serve.users import UserHistory, stack_histories


@dataclass(frozen=True)
class Question:
    """A typed request with all that the model needs to answer it."""

    request: TaskRequest
    history: UserHistory
    picture: Image.Image | None
    """At the model's size."""
    check: Check
    """Raises when the client has left; called between two steps of writing and drawing."""


@dataclass(frozen=True)
class UserPersonalizer(Personalizer):
    """A personalizer for one user whose whole history, ratings included, is known."""

    user_history: UserHistory

    def histories(self, history: Sequence[str] | None = None, user: str | None = None) -> Histories:
        """The user's, whatever the arguments."""
        return stack_histories([self.user_history])


class ServedModel:
    """Answers questions; `answer`, `recommend`, `search` and `put_items` belong to the model's thread.

    The only place of the service that touches the item index and the prefix cache.
    """

    def __init__(self, trained: Personalizer, fetch: Fetch, cache_bytes: int) -> None:
        self.index = Stock(trained, fetch)
        self.prefixes = WarmMemory(cache_bytes)
        answerer, caching = self.index.answerer, cache_bytes > 0
        ranker, searcher = answerer.ranker, answerer.searcher
        self.ranking = WarmReader(ranker, self.prefixes) if caching and ranker is not None else None
        self.searching = WarmReader(searcher, self.prefixes) if caching and searcher is not None else None

    @property
    def personalizer(self) -> Personalizer:
        """With all items put so far."""
        return self.index.personalizer

    @property
    def catalog(self) -> Catalog:
        return self.index.catalog

    @property
    def dataset(self) -> Dataset:
        return self.index.run.dataset

    def pixels(self, picture: bytes, item_id: str) -> PictureArray | None:
        """An item's picture at the model's size; None for a model that reads no pictures."""
        return self.index.pixels(picture, item_id)

    def fit(self, picture: Image.Image) -> Image.Image:
        """A picture at the model's size."""
        return Image.fromarray(fit_pixels(picture, *self.index.artifacts.picture_size))

    def check_attributes(self, item_id: str, attributes: Mapping[str, str]) -> None:
        """DataError for an attribute that the data do not have."""
        self.index.catalog.check_attributes(item_id, attributes)

    def put_items(self, items: Sequence[NewItem]) -> None:
        """Insert or replace items; cached prefixes with an item whose content changed are dropped."""
        before = len(self.catalog)
        rows = self.index.put(items)
        self.prefixes.forget_items(rows[rows < before].tolist())

    def cached_users(self) -> set[str]:
        return self.prefixes.users()

    def forget_user(self, user: str) -> None:
        """Drop the user's prefixes. Safe in any thread."""
        self.prefixes.forget_user(user)

    def answer(self, task: str, question: Question) -> Any:
        """One question by the personalizer's own method."""
        request, history = question.request, question.history
        answerer = self.index.answerer.heeding(question.check)
        if history.user is not None and self.prefixes.most_bytes:
            answerer = answerer.remembering(self.prefixes, history.user)
        personalizer = UserPersonalizer(self.index.run, answerer, history)
        arguments = {name: getattr(request, name) for name in type(request).model_fields}
        for name in ("user", "history"):
            del arguments[name]
        if "picture" in arguments:
            arguments["picture"] = question.picture
        return getattr(personalizer, task)(**arguments)

    def recommend(self, questions: Sequence[Question]) -> list[Recommendation]:
        """Several users at once."""
        histories = stack_histories([question.history for question in questions])
        if self.ranking is not None:
            scores = self.ranking.score([question.history.user for question in questions], histories)
        else:
            scores = self.index.answerer.score(histories)
        return [
            Recommendation(items, *self._read(question.history))
            for items, question in zip(self._best(scores, questions), questions, strict=True)
        ]

    def search(self, questions: Sequence[Question]) -> list[SearchResult]:
        """Several users at once, each with words and no picture."""
        histories = stack_histories([question.history for question in questions])
        requests = [question.request for question in questions]
        queries = [Query(request.text.strip()) for request in requests if isinstance(request, SearchIn)]
        if self.searching is not None:
            users = [question.history.user for question in questions]
            scores = self.searching.search(users, histories, queries)
        else:
            scores = self.index.answerer.search(histories, queries)
        return [
            SearchResult(items, query.text, False, *self._read(question.history))
            for items, query, question in zip(self._best(scores, questions), queries, questions, strict=True)
        ]

    def _best(self, scores: FloatArray, questions: Sequence[Question]) -> list[tuple[RankedItem, ...]]:
        """Each question's k best of its row of [U, I] scores, equal scores in the catalogue's order."""
        counts = []
        for row, question in zip(scores, questions, strict=True):
            request = question.request
            assert isinstance(request, RecommendIn | SearchIn)
            counts.append(request.k)
            if request.exclude_history:
                row[question.history.item_rows] = -np.inf
        return best_items(self.catalog, scores, counts)

    def _read(self, history: UserHistory) -> tuple[tuple[str, ...], bool]:
        """The item ids of the history, and whether it is a cold start."""
        return tuple(history.item_ids(self.catalog)), len(history.item_rows) == 0
