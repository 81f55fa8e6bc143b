"""`ServedModel`: the opened run with the items put since and the prefixes cached of users."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unimp.core.caches import ByteBoundedCache
from unimp.core.errors import DataError
from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray
from unimp.data.pictures import PixelArray
from unimp.data.upserts import Fetch, NewItem
from unimp.inference.continuation import Check
from unimp.inference.prefix_cache import PrefixCache
from unimp.personalizer import Personalizer
from unimp.serve.connection import ClientGone
from unimp.serve.users import UserHistory, stack_histories
from unimp.tasks.requests import TaskRequest
from unimp.tasks.task import AnyTask

ID_BYTES = 200
"""Estimated memory of an item's id in a request."""


@dataclass(frozen=True)
class Question:
    """A typed request with all that the model needs to answer it."""

    request: TaskRequest
    """Without its picture."""
    history: UserHistory
    pixels: PixelArray | None
    """The request's picture at the model's size."""
    gone: Callable[[], bool]
    """Whether the client has left."""

    @property
    def num_bytes(self) -> int:
        """Estimated memory."""
        pixels = 0 if self.pixels is None else self.pixels.nbytes
        return self.history.num_bytes + pixels + ID_BYTES * len(self.request.history or ())


class ServedModel:
    """Answers questions of every task; `answer`, `put_items` and `remove_items` belong to the model's thread.

    The only place of the service that touches the item index and the prefix cache.
    """

    def __init__(self, trained: Personalizer, fetch: Fetch, cache_bytes: int, between_steps: Check) -> None:
        """`between_steps`: called between two steps of writing and drawing."""
        self.between_steps = between_steps
        self.prefixes = PrefixCache(cache_bytes)
        if trained.run.artifacts.second_stage is not None:
            trained.run.artifacts.second_stage.prepare()
        self._use(trained.with_fetch(fetch))

    def _use(self, personalizer: Personalizer) -> None:
        """Answer with this version from now on."""
        answerer = personalizer.answerer
        self.personalizer = personalizer
        self.answerer = answerer.with_prefixes(self.prefixes) if self.prefixes.max_bytes else answerer

    @property
    def catalog(self) -> Catalog:
        """Its newest version."""
        return self.dataset.catalog

    @property
    def dataset(self) -> Dataset:
        return self.personalizer.run.dataset

    @property
    def tasks(self) -> tuple[AnyTask, ...]:
        """The checkpoint's tasks, over the newest catalogue."""
        return self.personalizer.run.artifacts.tasks

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """Height and width of the pictures that the model reads; None for a model that reads none."""
        artifacts = self.personalizer.run.artifacts
        return None if artifacts.visual_width is None else artifacts.picture_size

    @property
    def query_places(self) -> ByteBoundedCache[str, FloatArray]:
        """Where queries' words lie; one cache for all versions."""
        return self.personalizer.run.artifacts.encoder.places

    def check_attributes(self, item_id: str, attributes: Mapping[str, str]) -> None:
        """DataError for an attribute that the data do not have, or that is no number and must be one."""
        self.catalog.check_attributes(item_id, attributes)
        for attribute in self.catalog.attributes:
            text = attributes.get(attribute.name, "")
            if attribute.kind == "number" and text and not is_number(text):
                problem = f"{attribute.name} must be a number (got {text[:40]!r}); mend it, or leave it out"
                raise DataError(f'item "{item_id}": {problem}')

    def put_items(self, items: Sequence[NewItem]) -> None:
        """Insert or replace items; cached prefixes with an item whose content changed are dropped."""
        if not items:
            return
        replaced = [item.item_id for item in items if item.item_id in self.catalog.row_of]
        self._use(self.personalizer.upsert_items(items, in_place=True))
        self.prefixes.forget_items(self.catalog.rows(replaced))

    def remove_items(self, item_ids: Iterable[str]) -> None:
        """Answer with these items no more. The model goes on reading them in histories."""
        known = [item_id for item_id in item_ids if item_id in self.catalog.row_of]
        if known:
            self._use(self.personalizer.remove_items(known))

    def checked_task(self, kind: type[AnyTask], request: TaskRequest) -> AnyTask:
        """The checkpoint's task; DataError or ConfigError when it is absent, or cannot answer the request.

        Safe in any thread.
        """
        personalizer = self.personalizer
        task = personalizer.answerer.task_named(kind.name)
        personalizer.check(task, request)
        return task

    def cached_users(self) -> set[str]:
        return self.prefixes.users()

    def forget_user(self, user: str) -> None:
        """Drop the user's prefixes. Safe in any thread."""
        self.prefixes.forget_user(user)

    def answer(self, task: AnyTask, questions: Sequence[Question]) -> list[Any]:
        """The answers to questions of one task, in their order, in one call of the model.

        Each user's history is read from its cached prefix on, and removed items are not answered with.
        """

        def check() -> None:
            check_any(questions)
            self.between_steps()

        answerer = self.answerer.heeding(check)
        return answerer.answer(
            answerer.task_named(task.name),
            stack_histories([question.history for question in questions]),
            [question.request for question in questions],
            [question.pixels for question in questions],
        )


def check_any(questions: Sequence[Question]) -> None:
    """Raises ClientGone when all clients have left: one that stays is answered to the end."""
    if all(question.gone() for question in questions):
        raise ClientGone


def is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
