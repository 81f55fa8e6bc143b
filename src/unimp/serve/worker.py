"""`ModelWorker`: the one thread in which the model works, fed from the task queues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, TypeVar

from unimp.serve.errors import Busy, TooSlow
from unimp.serve.metrics import Metrics
from unimp.serve.queue import TaskQueue, WaitingRequest
from unimp.serve.settings import ServeSettings

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class ModelWorker:
    """Answers the oldest request and all that wait in the same queue, up to its batch size, call after call.

    The worker never waits for a batch to fill: while the model works, requests gather by themselves.
    """

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.queues: list[TaskQueue[Any, Any]] = []
        self.numbers = count()
        self.arrived = asyncio.Event()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.loop_task: asyncio.Task[None] | None = None
        metrics.waiting.set_function(lambda: self.num_waiting)

    @property
    def num_waiting(self) -> int:
        return sum(len(queue.waiting) for queue in self.queues)

    def add_queue(
        self, task: str, answer: Callable[[Sequence[Request]], Sequence[Answer]], *, batched: bool = True
    ) -> TaskQueue[Request, Answer]:
        """A new queue; without `batched`, every request is a call of its own."""
        size = self.settings.batch if batched else 1
        queue = TaskQueue(task, answer, size)
        self.queues.append(queue)
        return queue

    def start(self) -> None:
        self.loop_task = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Stop; requests that still wait are refused."""
        if self.loop_task is not None:
            self.loop_task.cancel()
            await asyncio.gather(self.loop_task, return_exceptions=True)
        for queue in self.queues:
            for waiting in queue.waiting:
                if not waiting.abandoned:
                    waiting.future.set_exception(Busy("the server is stopping; try again in a moment"))
        self.thread.shutdown(wait=True, cancel_futures=True)

    async def ask(self, queue: TaskQueue[Request, Answer], request: Request) -> Answer:
        """Wait for the answer; Busy when too many requests wait, TooSlow after `answer_seconds`.

        Cancelling the caller takes the request out of its queue.
        """
        if self.num_waiting >= self.settings.waiting:
            raise Busy(f"{self.num_waiting} questions are waiting already; try again in a moment")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        queue.waiting.append(WaitingRequest(request, future, next(self.numbers)))
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
            queue = self._next_queue()
            if queue is None:
                self.arrived.clear()
                continue
            batch = queue.take()
            self.metrics.batches.labels(queue.task).observe(len(batch))
            requests = [waiting.request for waiting in batch]
            answers = await loop.run_in_executor(self.thread, queue.answer_batch, requests)
            for waiting, answer in zip(batch, answers, strict=True):
                if waiting.abandoned:
                    continue
                if isinstance(answer, Exception):
                    waiting.future.set_exception(answer)
                else:
                    waiting.future.set_result(answer)

    def _next_queue(self) -> TaskQueue[Any, Any] | None:
        """The queue whose first request is the oldest of all; None when no request waits."""
        for queue in self.queues:
            self.metrics.abandoned.inc(queue.drop_abandoned())
        filled = [queue for queue in self.queues if queue.waiting]
        return min(filled, key=lambda queue: queue.waiting[0].number, default=None)
