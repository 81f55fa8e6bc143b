"""`ServedModel`: the opened run with the items put since and the prefixes cached of users."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unimp.answer import Query
from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.growing import Fetch
from unimp.data.histories import FloatArray, Histories
from unimp.data.pictures import PixelArray, fit_pixels, open_picture
from unimp.inference.continuation import Check
from unimp.inference.retrieval import ModelRanker, ModelSearcher
from unimp.inference.warm import WarmMemory
from unimp.inference.warm_reading import WarmReader
from unimp.personalizer import Personalizer
from unimp.runs.updates import NewItem, Stock
from unimp.serve.request_bodies import COUNT_FORM
from unimp.serve.users import UserHistory, stack_histories
from unimp.tasks.requests import TaskRequest
from unimp.tasks.task import AnyTask


@dataclass(frozen=True)
class Question:
    """A typed request with all that the model needs to answer it."""

    request: TaskRequest
    """Without its picture."""
    history: UserHistory
    pixels: PixelArray | None
    """The request's picture at the model's size."""
    check: Check
    """Called between two steps of writing and drawing; raises when the client has left."""


@dataclass(frozen=True)
class CachedRanking:
    """A ranking decoder that begins where the cached prefix of each user ends."""

    reader: WarmReader
    users: Sequence[str | None]

    def score(self, histories: Histories) -> FloatArray:
        """[U, I]"""
        return self.reader.score(self.users, histories)

    def search(self, histories: Histories, queries: Sequence[Query]) -> FloatArray:
        """[U, I]"""
        return self.reader.search(self.users, histories, queries)


class ServedModel:
    """Answers questions of every task; `answer` and `put_items` belong to the model's thread.

    The only place of the service that touches the item index and the prefix cache.
    """

    def __init__(self, trained: Personalizer, fetch: Fetch, cache_bytes: int) -> None:
        self.index = Stock(trained, fetch)
        self.prefixes = WarmMemory(cache_bytes)
        self.removed: set[str] = set()

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

    @property
    def tasks(self) -> tuple[AnyTask, ...]:
        """The checkpoint's tasks."""
        return self.index.artifacts.tasks

    def pixels(self, picture: bytes, place: str) -> PixelArray | None:
        """A picture at the model's size; None for a model that reads no pictures. Safe in any thread."""
        if self.index.artifacts.visual_width is None:
            return None
        return fit_pixels(open_picture(picture, place), *self.index.artifacts.picture_size)

    def check_attributes(self, item_id: str, attributes: Mapping[str, str]) -> None:
        """DataError for an attribute that the data do not have, or that is no number and must be one."""
        self.index.catalog.check_attributes(item_id, attributes)
        for attribute in self.catalog.attributes:
            text = attributes.get(attribute.name, "")
            if attribute.kind == "number" and text and not is_number(text):
                problem = f"{attribute.name} must be a number (got {text[:40]!r}); mend it, or leave it out"
                raise DataError(f'item "{item_id}": {problem}')

    def put_items(self, items: Sequence[NewItem]) -> None:
        """Insert or replace items; cached prefixes with an item whose content changed are dropped."""
        before = len(self.catalog)
        self.removed -= {item.item_id for item in items}
        rows = self.index.put(items)
        self.prefixes.forget_items(rows[rows < before].tolist())

    def remove_items(self, item_ids: Iterable[str]) -> None:
        """Answer with these items no more. The model goes on reading them in histories."""
        self.removed |= set(item_ids)

    def check(self, task: AnyTask, request: TaskRequest) -> None:
        """DataError or ConfigError when the request cannot be answered. Safe in any thread."""
        task.check(request)
        for item_id in request.item_ids:
            if item_id in self.removed:
                raise DataError(f'unknown item "{item_id}"; it was removed')

    def cached_users(self) -> set[str]:
        return self.prefixes.users()

    def forget_user(self, user: str) -> None:
        """Drop the user's prefixes. Safe in any thread."""
        self.prefixes.forget_user(user)

    def answers_together(self, task: AnyTask) -> bool:
        """Whether the requests of several users are answered by one forward pass."""
        return isinstance(self.index.answerer.decoders[task.name], ModelRanker | ModelSearcher)

    def answer(self, task: AnyTask, questions: Sequence[Question]) -> list[Any]:
        """The answers in the order of the questions, without removed items."""
        if not self.removed:
            return self._answer_all(task, questions)
        extended = [replace(question, request=self._with_spare(question.request)) for question in questions]
        answers = self._answer_all(task, extended)
        return [
            self._without_removed(answer, question.request)
            for answer, question in zip(answers, questions, strict=True)
        ]

    def _with_spare(self, request: TaskRequest) -> TaskRequest:
        """Asks for so many more items as may have to be left out."""
        counts = {name: getattr(request, name) + len(self.removed) for name in count_fields(type(request))}
        return request.model_copy(update=counts) if counts else request

    def _without_removed(self, answer: Any, request: TaskRequest) -> Any:
        items = getattr(answer, "items", None)
        for name in count_fields(type(request)) if isinstance(items, tuple) else ():
            left = [item for item in items or () if item.item_id not in self.removed]
            answer = replace(answer, items=tuple(left[: getattr(request, name)]))
        return answer

    def _answer_all(self, task: AnyTask, questions: Sequence[Question]) -> list[Any]:
        together = [question for question in questions if question.pixels is None]
        if not self.answers_together(task):
            together = []
        answers = dict(zip(map(id, together), self._answer_together(task, together), strict=True))
        return [
            answers[id(question)] if id(question) in answers else self._answer_alone(task, question)
            for question in questions
        ]

    def _answer_together(self, task: AnyTask, questions: Sequence[Question]) -> list[Any]:
        if not questions:
            return []
        decoder: Any = self.index.answerer.decoders[task.name]
        if self.prefixes.most_bytes:
            users = [question.history.user for question in questions]
            decoder = CachedRanking(WarmReader(decoder, self.prefixes), users)
        histories = stack_histories([question.history for question in questions])
        masked = self.index.answerer.exclude_history
        requests = [question.request.resolved(exclude_history=masked) for question in questions]
        return task.answer(decoder, histories, requests)

    def _answer_alone(self, task: AnyTask, question: Question) -> Any:
        history, answerer = question.history, self.index.answerer.heeding(question.check)
        if history.user is not None and self.prefixes.most_bytes:
            answerer = answerer.remembering(self.prefixes, history.user)
        histories = stack_histories([history])
        return answerer.answer(task, histories, [question.request], [question.pixels])[0]


def count_fields(kind: type[TaskRequest]) -> list[str]:
    """The fields that say how many items the answer has."""
    return [name for name, info in kind.model_fields.items() if COUNT_FORM in info.metadata]


def is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
