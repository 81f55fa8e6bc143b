"""What the HTTP service answers, for the golden run (`golden.py`)."""

from __future__ import annotations

import base64
from typing import Any

from fastapi.testclient import TestClient

from unimp import Personalizer
from unimp.serve.app import create_app
from unimp.serve.settings import ServeSettings
from unimp.serve.store.store import Store

HTMX = {"HX-Request": "true"}


def ask_service(model: Personalizer, store: str, picture: bytes) -> dict[str, Any]:
    """Name of the question -> status and answer, in the order asked. `store`: URL of an empty store."""
    settings = ServeSettings(keys=False, requests_per_second=0.0, sync_seconds=3600.0)
    app = create_app(model, Store.open(store), settings)
    ids = model.run.dataset.catalog.item_ids
    user = str(model.run.dataset.interactions.histories.user_ids[1])
    place = {"base_url": "http://127.0.0.1:8000", "client": ("127.0.0.1", 50000)}
    with TestClient(app, **place) as client:  # type: ignore[arg-type]
        found = {"openapi": shown(client.get("/openapi.json"))}
        for name, path, body in questions(ids, user, base64.b64encode(picture).decode()):
            found[name] = shown(client.post(f"/v1/{path}", json=body))
        attributes = model.run.dataset.catalog.item(5).attributes
        put = client.put("/v1/items/new%20one", json={"attributes": attributes})
        found["put item"] = shown(put)
        found["get item"] = shown(client.get(f"/v1/items/{ids[3]}"))
        found["history"] = shown(client.get("/v1/users/ann/history"))
        found["recommend new item"] = shown(
            client.post("/v1/recommend", json={"history": ["new one", ids[3]], "k": 20})
        )
        for name, path, form in pages(ids, user):
            asked = client.post(path, data=form, headers=HTMX) if form else client.get(path)
            found[name] = shown(asked)
    return found


def questions(ids: list[str], user: str, picture: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Every task for a user, a history and a cold start, then events and the same user warm."""
    asked: list[tuple[str, str, dict[str, Any]]] = []
    for name, asker in {"user": {"user": user}, "history": {"history": ids[:4]}, "cold": {}}.items():
        bodies: dict[str, dict[str, Any]] = {
            "recommend": {"k": 20},
            "search": {"text": "blue bag", "k": 20},
            "search picture": {"picture": picture, "k": 20},
            "rate": {"item": ids[9]},
            "explain": {"item": ids[9]},
            "select": {"candidates": ids[5:12], "count": 2},
            "imagine": {"text": "blue bag", "seed": 3, "count": 2},
        }
        asked += [(f"{task}.{name}", task.split()[0], asker | body) for task, body in bodies.items()]
    for number, row in enumerate((4, 60, 9)):
        event = {"event_id": f"e{number}", "user": "ann", "item": ids[row], "time": 1_800_000_000 + number}
        asked.append((f"event.{number}", "events", event | {"rating": 4}))
        asked.append((f"recommend.ann.{number}", "recommend", {"user": "ann", "k": 20}))
    return asked


def pages(ids: list[str], user: str) -> list[tuple[str, str, dict[str, str]]]:
    """The page: paths without a form are read, the others are posted as htmx does."""
    return [
        ("page.start", "/", {}),
        ("page.user", f"/?user={user}", {}),
        ("page.item", f"/item?user={user}&item={ids[10]}", {}),
        ("page.found", "/ask/search", {"user": user, "text": "bag"}),
        ("page.drawn", "/ask/generate-image", {"user": user, "text": "blue bag", "seed": "3", "count": "4"}),
        ("page.mattered", "/mattered", {"user": user, "item": ids[10]}),
    ]


def shown(response: Any) -> dict[str, Any]:
    """Status, and the document or text."""
    is_json = "json" in response.headers.get("content-type", "")
    return {"status": response.status_code, "body": response.json() if is_json else response.text}
