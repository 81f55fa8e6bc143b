"""Shares of the model's thread: between clients, and between brief and long tasks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.serve.site import MakeSite, Site
from unimp.serve import turns as turns_module
from unimp.serve.errors import TooManyWaiting, status_of
from unimp.serve.queue import TaskQueue, WaitingRequest
from unimp.serve.turns import MOST_CREDIT, Turns
from unimp.serve.worker import LONG_BATCH
from unimp.tasks.image_generation import schema


def echo(requests: Sequence[str]) -> list[str]:
    return list(requests)


def test_a_batch_takes_the_clients_in_turns() -> None:
    queue: TaskQueue[str, str] = TaskQueue("task", echo, batch_size=4)

    async def fill() -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        for number, name in enumerate(["a1", "a2", "a3", "a4", "a5", "b1", "c1", "b2"]):
            queue.waiting.append(WaitingRequest(name, name[0], future, number, 0.0))

    asyncio.run(fill())
    assert [waiting.request for waiting in queue.take()] == ["a1", "b1", "c1", "a2"]
    assert [waiting.request for waiting in queue.take()] == ["b2", "a3", "a4", "a5"]
    assert queue.take() == []


def test_one_at_a_time_the_clients_alternate() -> None:
    queue: TaskQueue[str, str] = TaskQueue("task", echo)

    async def fill() -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        for number, name in enumerate(["a1", "a2", "a3", "a4", "b1", "b2", "c1"]):
            queue.waiting.append(WaitingRequest(name, name[0], future, number, 0.0))

    asyncio.run(fill())
    taken = [queue.take()[0].request for _ in range(7)]
    assert taken == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


class LongCall:
    """A queue whose call goes on, step by step, until `finished` is set."""

    def __init__(self, site: Site) -> None:
        self.worker = site.service.worker
        self.begun, self.finished = threading.Event(), threading.Event()
        self.queue: TaskQueue[str, str] = self.worker.add_queue(
            "long", self.answer, batched=False, length="long"
        )
        self.brief: TaskQueue[str, str] = self.worker.add_queue("brief", self.note)
        self.order: list[str] = []

    def note(self, requests: Sequence[str]) -> list[str]:
        self.order.extend(requests)
        return list(requests)

    def answer(self, requests: Sequence[str]) -> list[str]:
        self.begun.set()
        while not self.finished.wait(0.001):
            self.worker.give_way()
        return self.note(requests)

    def ask(self, queue: TaskQueue[str, str], request: str, client: str = "a") -> asyncio.Task[str]:
        return asyncio.create_task(self.worker.ask(queue, request, client))


def test_a_long_call_gives_way_to_brief_ones(site: Site) -> None:
    call = LongCall(site)

    async def ask() -> list[str]:
        long = call.ask(call.queue, "long")
        await asyncio.to_thread(call.begun.wait, 20)
        brief = await asyncio.gather(*(call.ask(call.brief, name) for name in ("first", "second")))
        assert not long.done()
        call.finished.set()
        return [*brief, await long]

    assert site.runner.run(ask()) == ["first", "second", "long"]
    assert call.order == ["first", "second", "long"]


def test_brief_requests_come_first_when_both_wait(site: Site) -> None:
    call = LongCall(site)
    call.finished.set()

    async def ask() -> None:
        held = threading.Event()
        site.service.worker.thread.submit(held.wait)  # the model is busy
        asked = [call.ask(call.queue, "long"), call.ask(call.queue, "long, too")]
        asked += [call.ask(call.brief, "brief")]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        held.set()
        await asyncio.gather(*asked)

    site.runner.run(ask())
    assert call.order.index("brief") <= 1  # the first long one may have been taken already
    assert call.order[-1] == "long, too"


def test_waiting_generations_are_bounded_per_client(make_site: MakeSite) -> None:
    site = make_site(waiting_long_per_client=2)
    call = LongCall(site)

    async def ask() -> list[Any]:
        first = call.ask(call.queue, "1")
        await asyncio.to_thread(call.begun.wait, 20)
        more = [call.ask(call.queue, name) for name in "234"]
        other = call.ask(call.queue, "other", "b")
        await asyncio.sleep(0)
        call.finished.set()
        return await asyncio.gather(first, *more, other, return_exceptions=True)

    *answered, refused, other = site.runner.run(ask())
    assert (answered, other) == (["1", "2", "3"], "other")
    assert isinstance(refused, TooManyWaiting)
    assert status_of(refused) == 429


@pytest.mark.parametrize("path", ["explain", "imagine"])
def test_tasks_that_write_or_draw_are_long(site: Site, path: str) -> None:
    lengths = {queue.task: queue.length for queue in site.service.queues.values()}
    long = {task.command for task in site.service.tasks.values() if task.by_likelihood}
    assert {name for name, length in lengths.items() if length == "long"} == long
    names = {name for task in site.service.tasks.values() for name in (task.command, *task.aliases)}
    assert path in names


def test_a_long_call_answers_brief_requests_while_the_event_loop_is_busy(site: Site) -> None:
    """It takes them itself: asking the event loop costs two changes of threads on a busy machine."""
    call, noted = LongCall(site), threading.Event()
    queue: TaskQueue[str, str] = site.service.worker.add_queue(
        "noting", lambda requests: [noted.set() or request for request in requests]
    )

    async def ask() -> str:
        long = call.ask(call.queue, "long")
        await asyncio.to_thread(call.begun.wait, 20)
        brief = call.ask(queue, "brief")
        await asyncio.sleep(0)
        assert noted.wait(20)  # the loop stands still meanwhile
        call.finished.set()
        return await brief + await long

    assert site.runner.run(ask()) == "brieflong"


def test_a_long_call_takes_few_requests_at_once(site: Site) -> None:
    sizes = {queue.task: queue.batch_size for queue in site.service.queues.values()}
    assert sizes["generate-image"] == sizes["explain"] == LONG_BATCH
    assert sizes["recommend"] == site.service.settings.batch


def test_a_long_call_stands_still_as_long_as_it_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(turns_module.time, "monotonic", lambda: now)
    turns = Turns()
    turns.begin()
    with turns.pause() as until:
        assert until == pytest.approx(now + MOST_CREDIT, abs=1e-9)
        now = until
    now += 0.1
    with turns.pause() as until:
        assert until == pytest.approx(now + 0.1, abs=1e-9)
        now += 0.5  # a batch that took longer than that
    with turns.pause() as until:
        assert until == now
    now += 60.0
    with turns.pause() as until:
        assert until == pytest.approx(now + MOST_CREDIT, abs=1e-9)


def test_a_long_call_goes_on_when_no_brief_request_is_in_flight() -> None:
    turns, waited = Turns(), []

    def wait() -> None:
        with turns.lock:
            waited.append(turns.wait(time.monotonic() + 60))

    with turns.lock:
        assert not turns.wait(time.monotonic() + 60)
    turns.expect(True)
    turns.expect(False)
    with turns.lock:
        assert not turns.wait(time.monotonic())
    thread = threading.Thread(target=wait)
    thread.start()
    turns.release(False)
    turns.release(True)
    thread.join(20)
    assert waited in ([True], [False])  # False: the request had ended before it looked
    assert turns.expected == 0


@pytest.mark.parametrize(("path", "brief"), [("recommend", 1), ("imagine", 0)])
def test_brief_requests_are_expected_while_they_are_in_flight(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str, brief: int
) -> None:
    seen: list[int] = []
    turns, answer = site.service.worker.turns, site.service.answer

    async def watched(*args: Any) -> Any:
        seen.append(turns.expected)
        return await answer(*args)

    monkeypatch.setattr(site.service, "answer", watched)
    site.ok(f"/v1/{path}", {"history": []})
    assert (seen, turns.expected) == ([brief], 0)


def test_pictures_become_files_outside_the_event_loop(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    png_bytes = schema.png_bytes

    def watched(pixels: Any) -> bytes:
        threads.append(threading.current_thread())
        return png_bytes(pixels)

    monkeypatch.setattr(schema, "png_bytes", watched)
    site.ok("/v1/imagine", {"history": [], "count": 2})
    assert len(threads) == 2
    assert threading.main_thread() not in threads
