"""Every mistake is answered in one line that says where, what, and what to do."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.serve.site import MakeSite, Site
from unimp.serve.store.store import Store, StoreUnavailable

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("path", "document", "detail"),
    [
        ("recommend", [], "body: must be an object {…} (got [])"),
        ("recommend", {"user": ""}, "user: must have at least 1 character (got '')"),
        ("recommend", {"user": "a\n"}, "user: must not hold control characters (got 'a\\n')"),
        ("recommend", {"user": 5}, "user: must be a valid string (got 5)"),
        ("recommend", {"user": "a", "k": 300}, "k: must be 1 to 200 (got 300)"),
        ("recommend", {"usr": "a"}, "usr: unknown field; leave it out"),
        ("rate", {"user": "a"}, "item: is missing"),
        ("select", {"candidates": []}, "candidates: give 1 to 1,000 different items (got 0)"),
        ("events/batch", {"events": [5]}, "events.0: must be an object {…} (got 5)"),
        (
            "events",
            {"event_id": "1", "user": "a", "item": "b", "kind": "A b"},
            "kind: must be small letters, digits, - and _",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(site: Site, path: str, document: Any, detail: str) -> None:
    assert site.refused(422, site.post(f"/v1/{path}", document)).startswith(detail)


def test_a_body_that_is_not_read_says_how_it_would_be(site: Site) -> None:
    def says(status: int, content: bytes, **headers: str) -> str:
        return site.refused(status, site.post("/v1/recommend", content=content, headers=headers or JSON))

    assert says(422, b"") == "body: is missing; send JSON"
    assert "Content-Type: application/json" in says(422, b'{"user": "a"}', **{"content-type": "text/plain"})
    assert "send valid JSON" in says(400, b"[" * 100_000)
    assert "a number of very many digits" in says(400, b'{"k": ' + b"9" * 5000 + b"}")


def test_addresses_and_methods(site: Site) -> None:
    assert "nothing at /v2" in site.refused(404, site.get("/v2"))
    assert "takes POST" in site.refused(405, site.get("/v1/recommend"))


def test_where_the_store_is_is_for_the_operator_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any) -> None:
        raise StoreUnavailable("store: not available (connection to 10.0.0.5 failed); try again in a moment")

    monkeypatch.setattr(site.service.store, "ping", away)
    with caplog.at_level(logging.WARNING, "unimp"):
        detail = site.refused(503, site.get("/readyz"))
    assert detail == "store: not available; try again in a moment"
    assert "10.0.0.5" in caplog.text


def test_who_is_slowed_down_on_the_page_reads_it_there(make_site: MakeSite) -> None:
    site = make_site(requests_per_second=0.001, burst=1)
    site.get("/")
    fragment = site.post("/ask/search", data={"user": "a"}, headers={"HX-Request": "true"})
    assert fragment.status_code == 429
    assert fragment.text.startswith('<p class="problem" role="alert">more than')


def test_the_log_names_the_client_and_never_the_user(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    site.delete("/v1/users/secret-name/history")
    assert "127.0.0.1: a user was forgotten, 0 events deleted" in caplog.text
    monkeypatch.setattr(site.service.store, "user_log", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        site.get("/v1/users/secret-name/history")
    assert "127.0.0.1: GET /v1/users/{user:path}/history failed" in caplog.text
    assert "secret-name" not in caplog.text


def test_a_new_store_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped path is noticed, since a store without events looks like any other."""
    for said in (True, False):
        Store.open(f"sqlite:///{tmp_path / 'store.db'}").close()
        assert ("store.db is new" in capsys.readouterr().err) == said
