"""Keys, roles, rates, limits, headers; a client that goes away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.serve.site import MakeSite, Site
from unimp.core.errors import ConfigError
from unimp.personalizer import Personalizer
from unimp.serve.app import create_app
from unimp.serve.errors import Busy, TooSlow
from unimp.serve.queue import TaskQueue
from unimp.serve.server import choose_settings, listen, server_config
from unimp.serve.service import Service
from unimp.serve.settings import ServeSettings
from unimp.serve.store.store import Store
from unimp.serve.worker import ModelWorker
from unimp.tasks.explanation.decoder import ModelExplainer
from unimp.tasks.explanation.schema import ExplainRequest
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.image_generation import decoder as image_decoder
from unimp.tasks.image_generation.schema import ImageRequest
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.rating.schema import RateRequest
from unimp.tasks.rating.task import RatingTask

QUESTION = {"history": [], "k": 1}
JSON = {"content-type": "application/json"}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_a_key_opens_what_its_roles_allow(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    store = site.service.store
    for name in ("read", "write-events", "admin"):
        store.add_key(f"secret of {name}", name, frozenset({name}))
    assert "API key is needed" in site.refused(401, site.post("/v1/recommend", QUESTION))
    wrong = site.post("/v1/recommend", QUESTION, headers=bearer("guess"))
    assert "unknown API key" in site.refused(401, wrong)
    event = {"event_id": "e", "user": "u", "item": site.service.catalog.item_ids[0]}

    def statuses(name: str) -> list[int]:
        headers = bearer(f"secret of {name}")
        return [
            site.post("/v1/recommend", QUESTION, headers=headers).status_code,
            site.post("/v1/events", event, headers=headers).status_code,
            site.delete("/v1/users/u/history", headers=headers).status_code,
        ]

    assert statuses("read") == [200, 403, 403]
    assert statuses("write-events") == [403, 200, 403]
    assert statuses("admin") == [200, 200, 200]
    by_header = site.post("/v1/recommend", QUESTION, headers={"X-API-Key": "secret of read"})
    assert by_header.status_code == 200
    for path in ("/healthz", "/readyz"):
        assert site.get(path).status_code == 200
    assert site.get("/metrics").status_code == 401


def test_a_key_that_sends_too_much_is_slowed_down(make_site: MakeSite) -> None:
    site = make_site(requests_per_second=0.001, burst=3)
    assert [site.post("/v1/recommend", QUESTION).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert int(site.get("/metrics").headers["retry-after"]) > 1


def test_bodies_are_bounded(make_site: MakeSite) -> None:
    site = make_site(body_bytes=1000)
    large = site.post("/v1/recommend", content=b"x" * 1001, headers=JSON)
    assert "larger than 1,000 bytes" in site.refused(413, large)

    async def chunks(count: int, pause: float) -> Any:
        for _ in range(count):
            yield b" " * 100
            await asyncio.sleep(pause)

    unannounced = site.post("/v1/recommend", content=chunks(11, 0), headers=JSON)
    assert "larger than" in site.refused(413, unannounced)
    hasty = make_site(body_seconds=0.01)
    slow = hasty.post("/v1/recommend", content=chunks(5, 60), headers=JSON)
    assert "seconds to arrive" in hasty.refused(408, slow)
    lying = site.post("/v1/recommend", content=chunks(1, 0), headers={**JSON, "content-length": "-1"})
    assert lying.status_code == 413


def test_pages_of_other_sites_and_other_names_are_refused(site: Site) -> None:
    other = site.post("/v1/recommend", QUESTION, headers={"Origin": "https://evil.example"})
    assert "may not write here" in site.refused(403, other)
    assert site.post("/v1/recommend", QUESTION, headers={"Origin": "http://127.0.0.1:8000"}).is_success
    rebound = site.get("/healthz", headers={"Host": "evil.example:8000"})
    assert "is not this machine" in site.refused(403, rebound)
    assert "access-control-allow-origin" not in site.get("/healthz", headers={"Origin": "http://a"}).headers


def test_every_answer_has_the_headers(site: Site) -> None:
    for response in (site.get("/healthz"), site.get("/nothing"), site.post("/v1/recommend", {})):
        assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert response.headers["x-content-type-options"] == "nosniff"


def test_keys_are_off_on_loopback_only() -> None:
    assert not choose_settings("127.0.0.1").keys
    assert choose_settings("127.0.0.1", keys=True).requests_per_second > 0
    assert choose_settings("0.0.0.0").keys
    with pytest.raises(ConfigError, match="only on loopback"):
        choose_settings("0.0.0.0", keys=False)


class GatedQueue:
    """A queue of the worker whose answers come when `opened` is set."""

    def __init__(self, worker: ModelWorker) -> None:
        self.worker, self.opened, self.worked = worker, threading.Event(), []
        self.queue: TaskQueue[str, str] = worker.add_queue("gate", self.answer, batched=False)

    def answer(self, questions: Sequence[str]) -> list[str]:
        self.opened.wait()
        self.worked.extend(questions)
        return list(questions)

    def ask(self, question: str) -> asyncio.Task[str]:
        return asyncio.create_task(self.worker.ask(self.queue, question))

    async def first_taken(self) -> None:
        """Until the model's thread works on what waits."""
        await asyncio.sleep(0)
        while self.queue.waiting:
            await asyncio.sleep(0.001)


def test_what_nobody_waits_for_is_not_worked_on(site: Site) -> None:
    gate = GatedQueue(site.service.worker)

    async def one_leaves() -> list[Any]:
        first = gate.ask("a")
        await gate.first_taken()
        rest = [gate.ask(name) for name in "bc"]
        await asyncio.sleep(0)
        rest[0].cancel()
        gate.opened.set()
        return await asyncio.gather(first, *rest, return_exceptions=True)

    answers = site.runner.run(one_leaves())
    assert (answers[0], answers[2]) == ("a", "c")
    assert isinstance(answers[1], asyncio.CancelledError)
    assert gate.worked == ["a", "c"]


def test_a_disconnect_cancels_the_request(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = asyncio.Event()

    async def never(*_: Any, **__: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    monkeypatch.setattr(site.service, "answer", never)
    messages = [
        {"type": "http.request", "body": b'{"history": []}', "more_body": False},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/recommend",
        "raw_path": b"/v1/recommend",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "app": site.app,
    }

    async def receive() -> Any:
        return messages.pop(0)

    async def send(_: Any) -> None:
        pass

    site.runner.run(asyncio.wait_for(site.app(scope, receive, send), 5))
    assert cancelled.is_set()
    assert 'status="499"' in site.get("/metrics").text


@pytest.mark.parametrize("task", ["imagine", "explain"])
def test_work_that_nobody_waits_for_ends_between_two_steps(
    site: Site, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    begun, go_on, steps = threading.Event(), threading.Event(), []
    owner, name = (image_decoder, "sample") if task == "imagine" else (ModelExplainer, "best_tokens")
    step = getattr(owner, name)

    def slow(*args: Any, **kwargs: Any) -> Any:
        steps.append(name)
        begun.set()
        assert go_on.wait(20)
        return step(*args, **kwargs)

    monkeypatch.setattr(owner, name, slow)
    service = site.service

    async def leave() -> str:
        item, history = service.catalog.item_ids[5], tuple(service.catalog.item_ids[1:3])
        request: Any = ExplainRequest(history=history, item=item)
        kind: Any = ExplanationTask
        if task == "imagine":
            kind, request = ImageGenerationTask, ImageRequest(history=history, text="bag")
        asking = asyncio.create_task(service.answer(kind, request, "me"))
        await asyncio.to_thread(begun.wait, 20)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        go_on.set()
        forecast = await service.answer(RatingTask, RateRequest(history=history, item=item), "me")
        return forecast.item_id  # the model's thread is free again

    assert site.runner.run(leave()) == service.catalog.item_ids[5]
    assert len(steps) == 1


def test_a_stopping_server_finishes_what_is_in_flight(
    personalizer: Personalizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    app = create_app(personalizer, store, ServeSettings(keys=False, requests_per_second=0))
    service: Service = app.state.service
    begun, queue = threading.Event(), service.queues["recommendation"]

    def slow(questions: Any) -> Any:
        begun.set()
        assert server.should_exit or stopping.wait(20)
        return queue.answer(questions)

    monkeypatch.setitem(service.queues, "recommendation", service.worker.add_queue("slow", slow))
    stopping = threading.Event()
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(server_config(app, service.settings))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(httpx.post(f"{url}/v1/recommend", json=QUESTION).status_code)
    )
    asking.start()
    assert begun.wait(20)
    server.should_exit = True  # what SIGTERM does
    stopping.set()
    asking.join(20)
    thread.join(20)
    assert answers == [200]
    assert not thread.is_alive()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/healthz")


def test_too_many_and_too_slow_are_said(make_site: MakeSite) -> None:
    site = make_site(waiting=1, answer_seconds=0.05)
    gate = GatedQueue(site.service.worker)

    async def overload() -> list[Any]:
        first = gate.ask("a")
        await gate.first_taken()
        answers = await asyncio.gather(first, *(gate.ask(name) for name in "bc"), return_exceptions=True)
        gate.opened.set()
        return answers

    first, second, third = site.runner.run(overload())
    assert isinstance(first, TooSlow)
    assert isinstance(second, TooSlow)
    assert isinstance(third, Busy)
