"""`Engine`: one thread for the model; questions that wait together are answered by one call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from unimp.serve.errors import Busy, TooSlow
from unimp.serve.metrics import Metrics
from unimp.serve.settings import ServeSettings

Question = TypeVar("Question")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Desk(Generic[Question, Answer]):
    """Answers questions of one kind, several at a time."""

    task: str
    answer: Callable[[Sequence[Question]], Sequence[Answer]]
    together: bool = True
    """False: each question is a call of its own."""


@dataclass(frozen=True)
class Waiting:
    """A question in the queue; when its future is cancelled, nobody waits for it any more."""

    desk: Desk[Any, Any]
    question: Any
    future: asyncio.Future[Any]


class Engine:
    """Takes the oldest question and all others for the same desk, up to the batch size, call after call.

    Nothing waits for a batch to fill: while the model works, questions gather by themselves.
    """

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.queue: deque[Waiting] = deque()
        self.arrived = asyncio.Event()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.worker = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Stop; what still waits is refused."""
        if self.worker is not None:
            self.worker.cancel()
            await asyncio.gather(self.worker, return_exceptions=True)
        for waiting in self.queue:
            if not waiting.future.done():
                waiting.future.set_exception(Busy("the server is stopping; try again in a moment"))
        self.thread.shutdown(wait=True, cancel_futures=True)

    async def ask(self, desk: Desk[Question, Answer], question: Question) -> Answer:
        """Wait for the answer; Busy when too many wait, TooSlow after the time allowed.

        Cancelling the caller takes the question out of the queue.
        """
        if len(self.queue) >= self.settings.waiting:
            raise Busy(f"{len(self.queue)} questions are waiting already; try again in a moment")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.queue.append(Waiting(desk, question, future))
        self.arrived.set()
        try:
            async with asyncio.timeout(self.settings.answer_seconds):
                return await future
        except TimeoutError:
            seconds = self.settings.answer_seconds
            raise TooSlow(f"no answer within {seconds:g} seconds; try again, or ask for less") from None

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.arrived.wait()
            batch = self._take()
            if not batch:
                self.arrived.clear()
                continue
            self.metrics.waiting.set(len(self.queue))
            self.metrics.batches.labels(batch[0].desk.task).observe(len(batch))
            answers = await loop.run_in_executor(self.thread, answer_all, batch)
            for waiting, answer in zip(batch, answers, strict=True):
                if waiting.future.done():
                    continue
                if isinstance(answer, Exception):
                    waiting.future.set_exception(answer)
                else:
                    waiting.future.set_result(answer)

    def _take(self) -> list[Waiting]:
        """The oldest question that someone waits for, and those that can be answered with it."""
        alive = [waiting for waiting in self.queue if not waiting.future.done()]
        self.metrics.abandoned.inc(len(self.queue) - len(alive))
        if not alive:
            self.queue.clear()
            return []
        desk = alive[0].desk
        most = self.settings.batch if desk.together and self.settings.batching else 1
        batch = [waiting for waiting in alive if waiting.desk is desk][:most]
        taken = {id(waiting) for waiting in batch}
        self.queue = deque(waiting for waiting in alive if id(waiting) not in taken)
        return batch


def answer_all(batch: Sequence[Waiting]) -> Sequence[Any]:
    """An answer or an exception for each; one that fails does not spoil the others."""
    desk = batch[0].desk
    try:
        answers = desk.answer([waiting.question for waiting in batch])
        assert len(answers) == len(batch)
        return answers
    except Exception as error:
        if len(batch) == 1:
            return [error]
        return [answer_all([waiting])[0] for waiting in batch]
