"""`ModelWorker`: the one thread in which the model works, fed from the task queues."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, TypeVar

from unimp.serve.errors import Busy, TooManyWaiting, TooSlow
from unimp.serve.metrics import Metrics
from unimp.serve.queue import Length, TaskQueue, WaitingRequest
from unimp.serve.settings import ServeSettings
from unimp.serve.turns import Turns

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Batch = tuple[TaskQueue[Any, Any], list[WaitingRequest[Any, Any]]]

PATIENCE = 1.0
"""Seconds after which a long request has its turn before brief ones."""
LONG_BATCH = 8
"""Most requests in one long call: the more, the longer each of its steps, at whose end brief ones wait."""


class ModelWorker:
    """Answers one batch of one queue after the other, brief tasks before long ones.

    The worker never waits for a batch to fill: while the model works, requests gather by themselves.
    """

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.queues: list[TaskQueue[Any, Any]] = []
        self.turns = Turns()
        self.numbers = count()
        self.arrived = asyncio.Event()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.loop: asyncio.AbstractEventLoop | None = None
        self.loop_task: asyncio.Task[None] | None = None
        self.last_was_long = False
        self.num_waiting, self.bytes = 0, 0
        """Requests in all queues, and their memory; guarded by the turns' lock."""
        metrics.waiting.set_function(lambda: self.num_waiting)

    def add_queue(
        self,
        task: str,
        answer: Callable[[Sequence[Request]], Sequence[Answer]],
        *,
        batched: bool = True,
        length: Length = "brief",
    ) -> TaskQueue[Request, Answer]:
        """A new queue; without `batched`, every request is a call of its own."""
        most = min(self.settings.batch, LONG_BATCH) if length == "long" else self.settings.batch
        queue = TaskQueue(task, answer, most if batched else 1, length)
        self.queues.append(queue)
        return queue

    def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop_task = self.loop.create_task(self._work())

    async def close(self) -> None:
        """Stop; requests that still wait are refused."""
        if self.loop_task is not None:
            self.loop_task.cancel()
            await asyncio.gather(self.loop_task, return_exceptions=True)
        with self.turns.lock:
            left = [waiting for queue in self.queues for waiting in queue.waiting]
            for queue in self.queues:
                queue.waiting.clear()
            self._count()
        for waiting in left:
            if not waiting.abandoned:
                waiting.future.set_exception(Busy("the server is stopping; try again in a moment"))
        # not here: a long call in that thread may still have brief answers to deliver in this one
        await asyncio.to_thread(self.thread.shutdown, wait=True, cancel_futures=True)

    async def ask(
        self,
        queue: TaskQueue[Request, Answer],
        request: Request,
        client: str = "",
        seconds: float | None = None,
        num_bytes: int = 0,
    ) -> Answer:
        """Wait for the answer; Busy or TooManyWaiting before it is queued, TooSlow after `seconds`, which are
        the settings' `answer_seconds` if not given. `num_bytes`: memory of the request.

        Cancelling the caller takes the request out of its queue.
        """
        limit = self.settings.answer_seconds if seconds is None else seconds
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        waiting = WaitingRequest(request, client, future, next(self.numbers), time.monotonic(), num_bytes)
        with self.turns.lock:
            self._check_room(queue, client, num_bytes)
            queue.waiting.append(waiting)
            self.num_waiting += 1
            self.bytes += num_bytes
            self.turns.lock.notify()
        self.arrived.set()
        deadline = loop.call_later(limit, give_up, future, limit)
        try:
            return await future
        finally:
            deadline.cancel()

    def _check_room(self, queue: TaskQueue[Any, Any], client: str, num_bytes: int) -> None:
        if num_bytes and self.bytes + num_bytes > self.settings.waiting_bytes:
            raise Busy("the questions that wait take too much memory; try again in a moment")
        if self.num_waiting >= self.settings.waiting:
            raise Busy(f"{self.num_waiting} questions are waiting already; try again in a moment")
        limit = self.settings.waiting_long_per_client
        if queue.length == "long" and queue.waiting_of(client) >= limit:
            raise TooManyWaiting(
                f"{queue.task}: {limit} requests of this key are waiting already; wait for their answers"
            )

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.arrived.wait()
            with self.turns.lock:
                taken = self._take()
            if taken is None:
                self.arrived.clear()
                continue
            queue, batch = taken
            self.last_was_long = queue.length == "long"
            if self.last_was_long:
                self.turns.begin()
            requests = [waiting.request for waiting in batch]
            self._deliver(batch, await loop.run_in_executor(self.thread, queue.answer_batch, requests))

    def give_way(self) -> None:
        """Answer the brief requests that wait, and those that arrive while the long call may stand still. It
        calls this between two of its steps, in the model's thread."""
        loop = self.loop
        if loop is None:
            return
        with self.turns.pause() as until:
            while True:
                with self.turns.lock:
                    taken = self._take(brief_only=True)
                    if taken is None and not self.turns.wait(until):
                        return
                if taken is not None:
                    queue, batch = taken
                    answers = queue.answer_batch([waiting.request for waiting in batch])
                    loop.call_soon_threadsafe(self._deliver, batch, answers)
                if time.monotonic() > until:
                    return

    def _take(self, *, brief_only: bool = False) -> Batch | None:
        """A batch of the queue whose turn it is; None when no request waits. Only with the turns' lock."""
        for queue in self.queues:
            if dropped := queue.drop_abandoned():
                self.metrics.abandoned.inc(dropped)
        taken = self._choose(brief_only)
        self._count()
        return taken

    def _count(self) -> None:
        """Count anew what waits. Only with the turns' lock."""
        waiting = [waiting.num_bytes for queue in self.queues for waiting in queue.waiting]
        self.num_waiting, self.bytes = len(waiting), sum(waiting)

    def _choose(self, brief_only: bool) -> Batch | None:
        filled = [queue for queue in self.queues if queue.waiting]
        prompt = [queue for queue in filled if queue.length == "brief" or not (brief_only or is_long(queue))]
        long = [queue for queue in filled if is_long(queue) and not brief_only]
        if prompt and long and not self.last_was_long:
            since = min(queue.waiting[0].since for queue in long)
            if time.monotonic() - since > PATIENCE:
                prompt = []
        if not prompt and not long:
            return None
        queue = min(prompt or long, key=lambda queue: queue.waiting[0].number)
        batch = queue.take()
        self.metrics.batches.labels(queue.task).observe(len(batch))
        return queue, batch

    def _deliver(self, batch: Sequence[WaitingRequest[Any, Any]], answers: Sequence[Any | Exception]) -> None:
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.abandoned:
                continue
            if isinstance(answer, Exception):
                waiting.future.set_exception(answer)
            else:
                waiting.future.set_result(answer)


def give_up(future: asyncio.Future[Any], seconds: float) -> None:
    """TooSlow for whoever waits, unless the answer is there."""
    if not future.done():
        future.set_exception(TooSlow(f"no answer within {seconds:g} seconds; try again, or ask for less"))


def is_long(queue: TaskQueue[Any, Any]) -> bool:
    return queue.length == "long"
