"""`TaskQueue`: the requests of one task that wait for the model, and how they are answered together."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Length = Literal["brief", "long", "alone"]
"""brief: one forward pass, which may be run between two steps of a long call. long: writes or draws step by
step, and gives way to brief requests. alone: never within another call; it may change the model's items."""


@dataclass(frozen=True)
class WaitingRequest(Generic[Request, Answer]):
    """A request in a queue. A cancelled future means that no client waits for the answer any more."""

    request: Request
    client: str
    future: asyncio.Future[Answer]
    number: int
    """Order of arrival at the worker, over all its queues."""
    since: float
    """By `time.monotonic`."""
    num_bytes: int = 0
    """Estimated memory."""

    @property
    def abandoned(self) -> bool:
        return self.future.done()


@dataclass(frozen=True)
class TaskQueue(Generic[Request, Answer]):
    """`answer` is called in the model's thread with at most `batch_size` requests."""

    task: str
    answer: Callable[[Sequence[Request]], Sequence[Answer]]
    batch_size: int = 1
    length: Length = "brief"
    waiting: deque[WaitingRequest[Request, Answer]] = field(default_factory=deque)
    """In order of arrival."""
    served: dict[str, int] = field(default_factory=dict)
    """Client -> a number that grows with every request of its that is taken."""

    def waiting_of(self, client: str) -> int:
        return sum(waiting.client == client for waiting in self.waiting)

    def drop_abandoned(self) -> int:
        """Remove the requests whose clients have left; how many there were."""
        alive = [waiting for waiting in self.waiting if not waiting.abandoned]
        dropped = len(self.waiting) - len(alive)
        if dropped:
            self.waiting.clear()
            self.waiting.extend(alive)
        return dropped

    def take(self) -> list[WaitingRequest[Request, Answer]]:
        """Remove and return one batch: a request of every client, then each one's second, and so on.

        Clients that were served longer ago come first. A client with many requests thus delays the others by
        one request of its own, not by all.
        """
        turns: Counter[str] = Counter()
        ordered: list[tuple[int, int, int, WaitingRequest[Request, Answer]]] = []
        for waiting in self.waiting:
            client = waiting.client
            ordered.append((turns[client], self.served.get(client, -1), waiting.number, waiting))
            turns[client] += 1
        ordered.sort(key=lambda entry: entry[:3])
        batch = [waiting for *_, waiting in ordered[: self.batch_size]]
        remaining = sorted(ordered[self.batch_size :], key=lambda entry: entry[2])
        self.waiting.clear()
        self.waiting.extend(waiting for *_, waiting in remaining)
        if not self.waiting:
            self.served.clear()
        first = max(self.served.values(), default=-1) + 1
        self.served.update({waiting.client: first + place for place, waiting in enumerate(batch)})
        return batch

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
