"""`TaskQueue`: the requests of one task that wait for the model, and how they are answered together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class WaitingRequest(Generic[Request, Answer]):
    """A request in a queue. A cancelled future means that no client waits for the answer any more."""

    request: Request
    future: asyncio.Future[Answer]
    number: int
    """Order of arrival at the worker, over all its queues."""

    @property
    def abandoned(self) -> bool:
        return self.future.done()


@dataclass(frozen=True)
class TaskQueue(Generic[Request, Answer]):
    """First in, first out. `answer` is called in the model's thread with at most `batch_size` requests."""

    task: str
    answer: Callable[[Sequence[Request]], Sequence[Answer]]
    batch_size: int = 1
    waiting: deque[WaitingRequest[Request, Answer]] = field(default_factory=deque)

    def drop_abandoned(self) -> int:
        """Remove the requests whose clients have left; how many there were."""
        alive = [waiting for waiting in self.waiting if not waiting.abandoned]
        dropped = len(self.waiting) - len(alive)
        if dropped:
            self.waiting.clear()
            self.waiting.extend(alive)
        return dropped

    def take(self) -> list[WaitingRequest[Request, Answer]]:
        """Remove and return the oldest requests, one batch of them."""
        return [self.waiting.popleft() for _ in range(min(self.batch_size, len(self.waiting)))]

    def answer_batch(self, requests: Sequence[Request]) -> list[Answer | Exception]:
        """One answer or exception per request; a request that fails does not spoil its batch."""
        try:
            answers: Sequence[Any] = self.answer(requests)
            assert len(answers) == len(requests)
            return list(answers)
        except Exception as error:
            if len(requests) == 1:
                return [error]
            return [self.answer_batch([request])[0] for request in requests]
