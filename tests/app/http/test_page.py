"""The page through the client: with htmx it gets fragments, without scripts whole pages, and nothing runs."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from tests.app.http.conftest import MakeSite, Site

HTMX = {"HX-Request": "true"}
HTML = {"Accept": "text/html"}
SCRIPT = "<script>alert('x')</script>"


@pytest.fixture
def ids(site: Site) -> list[str]:
    return site.service.catalog.item_ids


def test_start_and_a_new_user(site: Site) -> None:
    start = site.get("/", headers=HTML).text
    assert "Who is shopping?" in start
    assert '<a href="/?user=' in start
    fresh = site.get("/", params={"user": "somebody new"}).text
    assert "Nothing yet" in fresh
    assert fresh.count('class="item"') == 12


def test_an_event_changes_the_answers(site: Site, ids: list[str]) -> None:
    form = {"user": "ann", "item": ids[3], "rating": "4"}
    before = site.get("/", params={"user": "ann"}).text
    moved = site.post("/met", data=form, headers=HTML)
    assert (moved.status_code, moved.headers["location"]) == (303, "/?user=ann")
    fragment = site.post("/met", data={"user": "ann", "item": ids[5]}, headers=HTMX).text
    assert fragment.startswith('<div id="now">')
    shown = re.findall(r"item=([^\"]+)", fragment)
    assert shown[:2] == [ids[5], ids[3]]
    assert shown[2:] != re.findall(r"item=([^\"]+)", before)
    log = site.service.store.user_log("ann")
    assert [event.rating for event in log.events] == [4.0, None]


def test_search_compare_and_draw(site: Site, ids: list[str]) -> None:
    file = io.BytesIO()
    Image.new("RGB", (30, 30), "red").save(file, "PNG")
    by_words = site.post("/found", data={"user": "ann", "text": "bag"}, headers=HTMX).text
    assert by_words.startswith('<p class="label">Found for “bag”')
    upload = {"picture": ("a.png", file.getvalue(), "image/png")}
    assert "like the picture" in site.post("/found", data={"user": "ann"}, files=upload, headers=HTMX).text
    whole = site.post("/found", data={"user": "ann", "text": "bag"}, headers=HTML).text
    assert whole.startswith("<!doctype html>")
    assert "Found for “bag”" in whole
    chosen = site.post("/chosen", data={"user": "ann", "candidates": ids[:3]}, headers=HTMX).text
    assert chosen.count("item chosen") == 1
    assert chosen.count(" %") == 3
    drawn = site.post("/drawn", data={"user": "ann", "text": "bag", "seed": "1"}, headers=HTMX).text
    assert drawn.count("data:image/png;base64,") == 4


def test_an_item_is_judged(site: Site, ids: list[str]) -> None:
    page = site.get("/item", params={"user": "ann", "item": ids[0]}).text
    assert page.count("<meter") == 5
    assert "Would ann like it?" in page
    assert site.get("/item", params={"user": "ann", "item": "nope"}, headers=HTML).status_code == 404


def test_mistakes_are_shown_to_people(site: Site) -> None:
    empty = site.post("/found", data={"user": "ann"}, headers=HTMX)
    assert empty.status_code == 422
    assert empty.text.startswith('<p class="problem" role="alert">query: empty')
    few = site.post("/chosen", data={"user": "ann", "candidates": ["a"]}, headers=HTML)
    assert few.text.startswith("<!doctype html>")
    assert "tick at least two" in few.text
    assert site.get("/static/../app.py").status_code == 404
    assert site.get("/static/htmx.min.js").headers["content-type"].startswith("text/javascript")


def test_texts_of_items_and_users_stay_texts(site: Site, ids: list[str]) -> None:
    title = site.service.catalog.title
    assert title is not None
    site.put(f"/v1/items/{ids[0]}", {"attributes": {title: SCRIPT}})
    site.post("/met", data={"user": SCRIPT, "item": ids[0]})
    for page in (
        site.get("/", params={"user": SCRIPT}).text,
        site.get("/item", params={"user": SCRIPT, "item": ids[0]}).text,
        site.post("/found", data={"user": SCRIPT, "text": SCRIPT}, headers=HTML).text,
        site.get("/").text,
    ):
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
        assert "https://" not in page  # nothing from elsewhere


def test_signing_in(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    site.service.store.add_key("the secret", "me", frozenset({"read"}))
    away = site.get("/", headers=HTML)
    assert (away.status_code, away.headers["location"]) == (303, "/sign-in")
    assert "API key" in site.get("/sign-in").text
    assert "unknown API key" in site.post("/sign-in", data={"key": "wrong"}).text
    signed = site.post("/sign-in", data={"key": "the secret"})
    cookie = signed.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "Who is shopping?" in site.get("/", headers=HTML).text  # the client keeps the cookie
    assert site.post("/met", data={"user": "ann", "item": "x"}, headers=HTML).status_code == 403
