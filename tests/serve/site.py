"""`Site`: a client of the application, reached without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
from fastapi import FastAPI

from unimp.serve.service import Service
from unimp.serve.store_sync import StoreSync


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

    @property
    def sync(self) -> StoreSync:
        sync: StoreSync = self.app.state.sync
        return sync

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


MakeSite = Callable[..., Site]
