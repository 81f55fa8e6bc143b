"""`Answerer`: one model's answers to every task it was trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from unimp.core.errors import ConfigError
from unimp.data.histories import FloatArray, Histories
from unimp.data.pictures import PixelArray
from unimp.inference.continuation import Check
from unimp.inference.decoder import Decoder
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.score_sources import ScoreSources
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.tasks.decoding import DecoderParts
from unimp.tasks.requests import TaskRequest
from unimp.tasks.task import AnyTask, Task, TaskAnswer

RequestT = TypeVar("RequestT", bound=TaskRequest)
AnswerT = TypeVar("AnswerT", bound=TaskAnswer)
DecoderT = TypeVar("DecoderT", bound=Decoder)


@dataclass(frozen=True)
class Answerer:
    """One decoder per task of the checkpoint. Its hooks return a changed copy and leave it as it is."""

    parts: DecoderParts
    """What the decoders were made of."""
    decoders: Mapping[str, Decoder]
    """By the task's name, in the recipe's order."""
    state: ItemState
    sources: ScoreSources
    exclude_history: bool = True
    """Whether to mask the history where a request leaves that open: as the run was validated."""

    @classmethod
    def of(cls, parts: DecoderParts) -> Answerer:
        """A decoder for every task."""
        decoders = {task.name: parts.decoder(task) for task in parts.tasks}
        return cls(parts, decoders, parts.state, parts.sources)

    @property
    def model(self) -> UnimpModel:
        return self.parts.model

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks it has."""
        return list(self.decoders)

    def lacking(self, task: str) -> ConfigError:
        """The error for a task that the checkpoint does not have."""
        return ConfigError(
            f"this checkpoint was trained without the task {task}; it has: {', '.join(self.tasks)}"
        )

    def find(self, kind: type[Task[Any, Any, DecoderT, Any]]) -> DecoderT | None:
        """The decoder of that task; None where the checkpoint does not have it."""
        found: DecoderT | None = self.decoders.get(kind.name)  # type: ignore[assignment]
        return found

    def decoder(self, kind: type[Task[Any, Any, DecoderT, Any]]) -> DecoderT:
        """The decoder of that task; ConfigError where the checkpoint does not have it."""
        found = self.find(kind)
        if found is None:
            raise self.lacking(kind.name)
        return found

    def task(self, kind: type[Task[RequestT, AnswerT, Any, Any]]) -> Task[RequestT, AnswerT, Any, Any]:
        """The checkpoint's task of that class; ConfigError where it does not have it."""
        found: Task[RequestT, AnswerT, Any, Any] | None = self.parts.find(kind)
        if found is None:
            raise self.lacking(kind.name)
        return found

    def task_named(self, name: str) -> AnyTask:
        """The checkpoint's task of that name; ConfigError where it does not have it."""
        for task in self.parts.tasks:
            if task.name == name:
                return task
        raise self.lacking(name)

    def task_for(self, request: TaskRequest) -> AnyTask:
        """The task that the request asks; ConfigError where the checkpoint does not have it."""
        for task in self.parts.tasks:
            if type(request) is task.Request:
                return task
        raise ConfigError(
            f"this checkpoint has no task that answers a {type(request).__name__}; "
            f"it has: {', '.join(self.tasks)}"
        )

    def answer(
        self,
        task: Task[RequestT, AnswerT, Any, Any],
        histories: Histories,
        requests: Sequence[RequestT],
        pixels: Sequence[PixelArray | None] = (),
    ) -> list[AnswerT]:
        """U answers to U requests of one task, whose users have these U histories.

        `pixels`: [U] the pictures that the requests show, at the size that the model reads
        (`parts.eyes.size`); empty when nobody shows any.
        """
        requests = [request.resolved(exclude_history=self.exclude_history) for request in requests]
        shown = [picture for picture in pixels if picture is not None]
        if not shown:
            return task.answer(self.decoders[task.name], histories, requests)
        together = np.stack(shown)
        answerer, first = self.seeing(self.see(together), together), len(task.context.catalog)
        places = np.cumsum([picture is not None for picture in pixels]) - 1 + first
        rows = [
            int(place) if picture is not None else -1 for place, picture in zip(places, pixels, strict=True)
        ]
        return task.answer(answerer.decoders[task.name], histories, requests, rows)

    def see(self, pictures: PixelArray) -> Tensor:
        """[X, V, E] visual tokens of pictures from outside; ConfigError for a model that reads none."""
        if self.parts.eyes is None:
            raise ConfigError("this checkpoint looks at no pictures; ask in words")
        return self.parts.eyes.see(pictures)

    def heeding(self, check: Check) -> Answerer:
        """The same answerer; long work calls `check` before every step, which raises to end it."""
        return self._with({name: decoder.with_check(check) for name, decoder in self.decoders.items()})

    def with_prefixes(self, cache: PrefixCache) -> Answerer:
        """The same answerer, which reads of each history only what the cache does not hold of its user.

        `Histories.user_ids` says whose a history is, "" for one of which nothing is cached.
        """
        return self._with({name: decoder.with_prefixes(cache) for name, decoder in self.decoders.items()})

    def seeing(self, visual_XVE: Tensor, pixels: PixelArray | None = None) -> Answerer:
        """The same answerer with further pictures to show in queries; their rows follow the catalogue's.

        `pixels`: [X, Y, X', 3] what they are made of; without them only their tokens are compared.
        """
        with torch.inference_mode():
            state = self.model.with_outside(self.state, visual_XVE)
        photos = self.sources.photos
        photos = None if photos is None or pixels is None else photos.showing(pixels)
        pictures = unit_pictures(self.model, state)
        return self.with_items(state, replace(self.sources, pictures=pictures, photos=photos))

    def with_items(self, state: ItemState, sources: ScoreSources) -> Answerer:
        """The same answerer over these items: the catalogue has changed."""
        decoders = {name: decoder.with_items(state, sources) for name, decoder in self.decoders.items()}
        return replace(self, decoders=decoders, state=state, sources=sources)

    def _with(self, decoders: Mapping[str, Decoder]) -> Answerer:
        return replace(self, decoders=decoders)


def unit_pictures(model: UnimpModel, state: ItemState) -> FloatArray | None:
    """[I (+ X), ·] unit rows that pictures are compared by, zeros where there is none."""
    if state.pictures_ID is None:
        return None
    with torch.inference_mode():
        array: FloatArray = model.unit_pictures(state.pictures_ID).cpu().numpy()
    return array
