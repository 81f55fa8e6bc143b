"""A service on a small shop with random weights, reached without a socket."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from tests.six import Six
from unimp.personalizer import Personalizer
from unimp.runs.open_run import TrainedRun
from unimp.serve.http.app import create_app
from unimp.serve.http.server import bind
from unimp.serve.http.service import Service
from unimp.serve.http.settings import ServeSettings
from unimp.serve.store.store import Store


class Site:
    """A client of one application, whose lifespan it holds."""

    def __init__(self, app: FastAPI, **headers: str) -> None:
        self.app = app
        self.runner = asyncio.Runner()
        self.lifespan = app.router.lifespan_context(app)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
        self.client = httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8000", headers=headers
        )
        self.runner.run(self.lifespan.__aenter__())

    @property
    def service(self) -> Service:
        service: Service = self.app.state.service
        return service

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.runner.run(self.client.get(path, **more))

    def post(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return self.runner.run(self.client.post(path, json=json, **more))

    def put(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return self.runner.run(self.client.put(path, json=json, **more))

    def delete(self, path: str, **more: Any) -> httpx.Response:
        return self.runner.run(self.client.delete(path, **more))

    def ok(self, path: str, json: Any) -> Any:
        """The document that a POST is answered with."""
        response = self.post(path, json)
        assert response.status_code == 200, response.text
        return response.json()

    def refused(self, status: int, response: httpx.Response) -> str:
        """The detail of a problem document."""
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        body = response.json()
        assert body["status"] == status
        assert "\n" not in body["detail"]
        return str(body["detail"])

    def close(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.run(self.lifespan.__aexit__(None, None, None))
        self.runner.close()


@pytest.fixture(scope="session")
def personalizer(six: Six) -> Personalizer:
    run = TrainedRun(Path("run"), {}, {}, six.artifacts, six.model(), {}, six.dataset)
    return Personalizer(run, run.answerer)


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(personalizer: Personalizer, tmp_path: Path) -> Iterator[MakeSite]:
    """Sites on the same store, with settings of their own."""
    sites: list[Site] = []

    def make(url: str | None = None, **settings: Any) -> Site:
        chosen = ServeSettings(
            **{"keys": False, "requests_per_second": 0.0, "news_seconds": 3600.0, **settings}
        )
        store = Store.open(url or f"sqlite:///{tmp_path / 'store.db'}")
        sites.append(Site(create_app(personalizer, store, chosen)))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()


@pytest.fixture(scope="module")
def address(personalizer: Personalizer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a free port of loopback."""
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('browser') / 'store.db'}")
    app = create_app(personalizer, store, ServeSettings(keys=False, requests_per_second=0))
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
