"""The page through the client: with htmx it gets fragments, without scripts whole pages, and nothing runs."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.serve.site import MakeSite, Site
from unimp.features.vision.config import VisionConfig
from unimp.serve.page.attribution_panel import grid_of
from unimp.serve.page.heat import heat

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
    earlier = {one.item_id for one in site.service.personalizer.recommend([ids[3]], k=12).items}
    count = len(set(shown[2:]) - earlier)
    assert f"{count or 'none'} of these" in fragment
    assert fragment.count('class="note">new') == count
    log = site.service.store.user_log("ann")
    assert [event.rating for event in log.events] == [4.0, None]


def test_search_compare_and_draw(site: Site, ids: list[str]) -> None:
    file = io.BytesIO()
    Image.new("RGB", (30, 30), "red").save(file, "PNG")
    by_words = site.post("/ask/search", data={"user": "ann", "text": "bag"}, headers=HTMX).text
    assert 'class="label">Search: best for ann first' in by_words
    assert by_words.count('class="item"') == 12
    upload = {"picture": ("a.png", file.getvalue(), "image/png")}
    by_picture = site.post("/ask/search", data={"user": "ann"}, files=upload, headers=HTMX).text
    assert by_picture.count('class="item"') == 12
    assert by_picture != by_words
    whole = site.post("/ask/search", data={"user": "ann", "text": "bag"}, headers=HTML).text
    assert whole.startswith("<!doctype html>")
    assert 'value="bag"' in whole
    assert "Search: best for ann first" in whole
    chosen = site.post("/ask/select", data={"user": "ann", "candidates": ids[:3]}, headers=HTMX).text
    assert chosen.count("item chosen") == 1
    assert chosen.count(" %") == 3
    drawn = site.post(
        "/ask/generate-image", data={"user": "ann", "text": "bag", "count": "4"}, headers=HTMX
    ).text
    assert drawn.count("data:image/png;base64,") == 4


def test_an_item_is_judged(site: Site, ids: list[str]) -> None:
    page = site.get("/item", params={"user": "ann", "item": ids[0]}).text
    assert page.count("<meter") == 5
    assert "Predict the rating" not in page  # the mean stands there
    assert re.search(r"\d\.\d of 5<", page)
    assert site.get("/item", params={"user": "ann", "item": "nope"}, headers=HTML).status_code == 404


def test_what_mattered_is_shown_with_its_pictures(site: Site, ids: list[str]) -> None:
    form = {"user": "ann", "item": ids[0]}
    assert "Show what mattered" in site.get("/item", params=form).text
    assert "no history yet" in site.post("/mattered", data=form, headers=HTMX).text
    catalog = site.service.catalog
    pictured = [row for row, reference in enumerate(catalog.picture_references) if reference][:3]
    for row in pictured:
        site.post("/met", data={"user": "ann", "item": ids[row]})
    fragment = site.post("/mattered", data=form, headers=HTMX).text
    assert not fragment.lstrip().startswith("<!doctype")
    assert fragment.count("data:image/jpeg;base64,") >= 3
    assert fragment.count("picture alone") == 3
    words = {one.name for one in catalog.attributes if one.kind != "number"}
    assert set(re.findall(r'<th scope="row">([^<]+)', fragment)) == words
    shares = [int(share) for share in re.findall(r"(\d+) % of the look", fragment)]
    assert sum(shares) == pytest.approx(100, abs=len(shares))
    whole = site.post("/mattered", data=form, headers=HTML).text
    assert whole.startswith("<!doctype html>")
    assert "picture alone" in whole
    assert site.post("/mattered", data={"user": "ann", "item": "nope"}, headers=HTMX).status_code == 422


def test_visual_tokens_without_a_place_are_not_drawn() -> None:
    own = VisionConfig(height=48, image_width=32)
    assert grid_of(own, 24) == (6, 4)
    assert grid_of(own, 8) is None
    assert grid_of(own.changed(resampler=8), 8) is None
    assert grid_of(own.changed(encoder="package:any"), 49) == (7, 7)
    assert grid_of(own.changed(encoder="package:any"), 50) is None


def test_what_mattered_knows_items_put_later(site: Site, ids: list[str]) -> None:
    file = io.BytesIO()
    Image.new("RGB", (30, 30), "red").save(file, "PNG")
    sent = base64.b64encode(file.getvalue()).decode()
    title = site.service.catalog.title
    site.put("/v1/items/later", {"attributes": {title: "A late lamp", "category": "lamp"}, "picture": sent})
    site.post("/met", data={"user": "ann", "item": "later"})
    fragment = site.post("/mattered", data={"user": "ann", "item": ids[0]}, headers=HTMX).text
    assert "A late lamp" in fragment
    assert fragment.count("data:image/jpeg;base64,") >= 1
    assert "picture alone ×" in fragment
    assert site.post("/mattered", data={"user": "ann", "item": "later"}, headers=HTMX).status_code == 200


def test_heat_lies_where_the_weights_are() -> None:
    """A quarter of the picture gets all: it is hot, the other quarters are grey."""
    drawn = heat(Image.new("RGB", (40, 40), "white"), np.array([0.0, 1.0, 0.0, 0.0]), (2, 2)).astype(int)
    assert drawn.shape == (192, 192, 3)
    hot, cold = drawn[:96, 96:], drawn[96:, :]
    assert (hot[:, :, 0] > hot[:, :, 2] + 100).all()
    assert (cold == cold[0, 0, 0]).all()


def test_a_problem_never_takes_the_place_of_the_answers(site: Site) -> None:
    gone = site.post("/met", data={"user": "ann", "item": "nope"}, headers={**HTMX, "HX-Target": "now"})
    assert (gone.status_code, gone.headers["hx-retarget"]) == (422, "#problem")
    inline = site.post("/ask/search", data={"user": "ann"}, headers={**HTMX, "HX-Target": "search-answer"})
    assert "hx-retarget" not in inline.headers


def test_long_ids_are_shortened_and_whole_in_links(site: Site) -> None:
    user = "0123456789" * 6
    page = site.get("/", params={"user": user}).text
    assert f'name="user" value="{user}"' in page
    assert f"<strong>{user}" not in page


def test_mistakes_are_shown_to_people(site: Site) -> None:
    empty = site.post("/ask/search", data={"user": "ann"}, headers=HTMX)
    assert empty.status_code == 422
    assert empty.text.startswith('<p class="problem" role="alert">query: empty')
    few = site.post("/ask/select", data={"user": "ann", "candidates": ["a"]}, headers=HTML)
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
        site.post("/ask/search", data={"user": SCRIPT, "text": SCRIPT}, headers=HTML).text,
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
