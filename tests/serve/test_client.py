"""The client of docs/serving.md, as it stands there, against a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "serving.md"


def documented() -> str:
    blocks = DOCUMENT.read_text().split("```python\n")[1:]
    (client,) = [block.partition("```")[0] for block in blocks if "class Shop" in block]
    return client


def test_it_asks_and_remembers(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = documented()
    assert code.count("http://127.0.0.1:8000") == 1
    names: dict[str, Any] = {}
    exec(code.replace("http://127.0.0.1:8000", address), names)
    shop = names["shop"]
    assert len(capsys.readouterr().out.split("] [")) == 2  # what it recommends, what it finds
    known = shop.client.get("/v1/users/ann/history").json()
    assert [(event["item"], event["kind"]) for event in known["events"]] == [("P00003", "buy")]
    assert "P00003" not in shop.recommend("ann", k=5)
    assert len(shop.search("ann", "lamp", k=3)) == 3
    with pytest.raises(RuntimeError, match='unknown item "nope"'):
        shop.met("ann", "nope")
    shop.client.close()


def test_it_tries_again_with_the_same_event(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    exec(documented().rpartition("shop = Shop")[0], names)
    shop, sent, pauses = names["Shop"](address), [], []
    monkeypatch.setattr(names["time"], "sleep", pauses.append)

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content)["event_id"])
        if len(sent) == 1:
            return httpx.Response(503, headers={"Retry-After": "3"}, json={"detail": "store: not available"})
        if len(sent) == 2:
            raise httpx.ConnectError("gone")
        return httpx.Response(200, json={"accepted": 1, "duplicates": 0})

    shop.client.close()
    shop.client = httpx.Client(transport=httpx.MockTransport(answer), base_url=address)
    assert shop.met("ann", "P00003") == {"accepted": 1, "duplicates": 0}
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert pauses == [3.0, 1]
