"""Items that are removed, their pictures' versions, and what is kept of a user."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.serve.site import MakeSite, Site
from tests.serve.test_history import event
from unimp.data.histories import FloatArray, Histories
from unimp.inference.retrieval import ModelRanker


@pytest.fixture
def ids(site: Site) -> list[str]:
    return site.service.catalog.item_ids


def recommended(site: Site, **asked: object) -> list[str]:
    answer = site.ok("/v1/recommend", {"history": [], "k": 5, **asked})
    return [item["item_id"] for item in answer["items"]]


def test_a_removed_item_is_answered_with_nowhere(make_site: MakeSite) -> None:
    here, elsewhere = make_site(), make_site()
    before = recommended(here, k=6)
    gone = before[0]
    assert here.delete(f"/v1/items/{gone}").json() == {"item": gone, "removed": True}
    elsewhere.runner.run(elsewhere.sync.sync())
    for site in (here, elsewhere, make_site()):
        assert recommended(site) == before[1:]
        assert site.refused(404, site.get(f"/v1/items/{gone}"))
        assert site.refused(404, site.get(f"/v1/items/{gone}/picture"))
        asked = {"history": [], "item": gone}
        assert f'unknown item "{gone}"' in site.refused(422, site.post("/v1/rate", asked))
        assert site.refused(404, site.delete(f"/v1/items/{gone}"))
        assert site.ok("/v1/recommend", {"history": [gone]})["history"] == [gone]
    put = here.put(f"/v1/items/{gone}", {"attributes": {"category": "mug"}})
    assert put.status_code == 200, put.text
    assert gone in recommended(here, k=200)


def test_a_replaced_picture_is_never_shown_in_its_old_version(make_site: MakeSite, ids: list[str]) -> None:
    here, elsewhere = make_site(), make_site()

    def put(colour: str) -> None:
        file = io.BytesIO()
        Image.new("RGB", (20, 16), colour).save(file, "PNG")
        sent = base64.b64encode(file.getvalue()).decode()
        assert here.put("/v1/items/x", {"attributes": {}, "picture": sent}).status_code == 200

    def colour(site: Site) -> tuple[int, ...]:
        shown = site.get("/v1/items/x/picture")
        return Image.open(io.BytesIO(shown.content)).convert("RGB").getpixel((1, 1))  # type: ignore[return-value]

    put("red")
    elsewhere.runner.run(elsewhere.sync.sync())
    assert colour(here) == colour(elsewhere) == (255, 0, 0)
    address = here.service.items.view("x")
    put("blue")
    elsewhere.runner.run(elsewhere.sync.sync())
    assert colour(here) == colour(elsewhere) == (0, 0, 255)
    later = here.service.items.view("x")
    assert address is not None
    assert later is not None
    assert address.version != later.version
    assert "version" not in here.get("/v1/items/x").json()


def test_another_servers_picture_is_not_shown_in_its_old_version(make_site: MakeSite) -> None:
    """Before this server hears of the upsert, the page's address names the new version already."""
    here, elsewhere = make_site(), make_site()

    def put(colour: str) -> str:
        file = io.BytesIO()
        Image.new("RGB", (20, 16), colour).save(file, "PNG")
        sent = base64.b64encode(file.getvalue()).decode()
        assert here.put("/v1/items/x", {"attributes": {}, "picture": sent}).status_code == 200
        view = here.service.items.view("x")
        assert view is not None
        return view.version

    def shown(version: str) -> tuple[Any, str]:
        answer = elsewhere.get(f"/v1/items/x/picture?v={version}")
        colour = Image.open(io.BytesIO(answer.content)).convert("RGB").getpixel((1, 1))
        return colour, answer.headers["cache-control"]

    former = put("red")
    elsewhere.runner.run(elsewhere.sync.sync())
    assert shown(former) == ((255, 0, 0), "private, max-age=86400")
    latest = put("blue")
    assert shown(latest) == ((0, 0, 255), "private, max-age=86400")
    assert shown("no version")[1] == "private, no-cache"


def test_all_that_is_kept_of_a_user_is_told(site: Site, ids: list[str]) -> None:
    user = str(site.service.dataset.interactions.histories.user_ids[0])
    site.ok("/v1/events", event(1, ids[7], user=user, rating=5))
    kept = site.get(f"/v1/users/{user}/data").json()
    assert [one["event_id"] for one in kept["events"]] == ["e1"]
    assert kept["data"]
    assert not kept["more"]
    site.delete(f"/v1/users/{user}/history")
    gone = site.get(f"/v1/users/{user}/data").json()
    assert (gone["data"], gone["events"], gone["forgotten"]) == ([], [], True)
    assert user not in site.get("/").text


def test_wrong_items_are_refused(site: Site) -> None:
    attributes = {a.name: a.kind for a in site.service.catalog.attributes}
    number = next(name for name, kind in attributes.items() if kind == "number")
    wrong = site.put("/v1/items/x", {"attributes": {number: "abc"}})
    assert f"{number} must be a number (got 'abc')" in site.refused(422, wrong)
    assert "must not end in /picture" in site.refused(
        422, site.put("/v1/items/x/picture", {"attributes": {}})
    )


def test_a_new_word_of_an_upserted_title_is_found(make_site: MakeSite) -> None:
    """Also after a restart. The likeness of words is what `/v1/search` adds up; its share is the recipe's."""
    here = make_site()
    assert here.put("/v1/items/w", {"attributes": {"title": "Wombat"}}).status_code == 200
    for site in (here, make_site()):
        words = site.service.model.answerer.sources.words
        assert words is not None
        found = words.score(["wombat"])[0]
        assert site.service.catalog.rows(["w"]) == found.nonzero()[0].tolist()


def test_equal_items_keep_their_order_after_a_restart(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their rows do not: the store knows no order of arrival."""

    def ordered(ranker: ModelRanker, histories: Histories, *, exclude: bool) -> FloatArray:
        rows = np.arange(len(ranker.sources.popularity))
        return np.repeat((rows >= number).astype(np.float32)[None], len(histories), axis=0)

    here = make_site()
    number = len(here.service.catalog)
    monkeypatch.setattr(ModelRanker, "ordered", ordered)
    for item_id in ("z", "a", "m"):
        assert here.put(f"/v1/items/{item_id}", {"attributes": {"category": "mug"}}).status_code == 200
    assert here.service.catalog.item_ids[number:] == ["z", "a", "m"]
    assert recommended(here, k=3) == recommended(make_site(), k=3) == ["a", "m", "z"]
