"""Events change answers, survive a restart, count once, and can be forgotten."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.closeness import close
from tests.postgresql import PostgreSQL
from tests.serve.conftest import wipe
from tests.serve.site import MakeSite, Site
from unimp.personalizer import Personalizer
from unimp.serve.store.tables import events


@pytest.fixture
def ids(personalizer: Personalizer) -> list[str]:
    return personalizer.run.dataset.catalog.item_ids


def event(number: int, item: str, user: str = "new user/1", **more: object) -> dict[str, object]:
    return {"event_id": f"e{number}", "user": user, "item": item, **more}


def test_events_become_the_history(make_site: MakeSite, ids: list[str]) -> None:
    site = make_site()
    asked = {"user": "new user/1", "k": 5}
    assert site.ok("/v1/recommend", asked)["cold_start"]
    assert site.ok("/v1/events", event(1, ids[4], time=50)) == {"accepted": 1, "duplicates": 0}
    batch = {"events": [event(1, ids[4]), event(2, ids[2], time=40, rating=4, kind="buy")]}
    assert site.ok("/v1/events/batch", batch) == {"accepted": 1, "duplicates": 1}
    for one in (site, make_site()):  # the second is a restart
        answer = one.ok("/v1/recommend", asked)
        assert answer["history"] == [ids[2], ids[4]]
        close(answer["items"], one.ok("/v1/recommend", {"history": [ids[2], ids[4]], "k": 5})["items"])
    known = site.get("/v1/users/new user%2F1/history").json()
    assert [one["event_id"] for one in known["events"]] == ["e2", "e1"]


def test_stored_events_follow_the_datas_history(
    site: Site, ids: list[str], personalizer: Personalizer
) -> None:
    histories = personalizer.run.dataset.interactions.histories
    user = str(histories.user_ids[0])
    of_data = [ids[row] for row in histories.items_of(0).tolist()]
    site.ok("/v1/events", event(1, ids[7], user=user, rating=5))
    assert site.ok("/v1/recommend", {"user": user})["history"] == [*of_data, ids[7]]
    known = site.get(f"/v1/users/{user}/history").json()
    assert known["data"] == of_data
    assert [(one["item"], one["rating"], one["read"]) for one in known["events"]] == [(ids[7], 5.0, True)]
    assert site.delete(f"/v1/users/{user}/history").json() == {"user": user, "events_deleted": 1}
    gone = site.get(f"/v1/users/{user}/history").json()
    assert (gone["data"], gone["events"], gone["forgotten"]) == ([], [], True)
    assert site.ok("/v1/recommend", {"user": user})["cold_start"]


def test_wrong_events_are_refused_whole(site: Site, ids: list[str]) -> None:
    def says(status: int, *events: dict[str, object]) -> str:
        return site.refused(status, site.post("/v1/events/batch", {"events": list(events)}))

    assert 'unknown item "x"' in says(422, event(1, ids[0]), event(2, "x"))
    assert "off the scale" in says(422, event(1, ids[0], rating=77))
    assert "events.0.rating" in says(422, event(1, ids[0], rating="NaN"))
    assert "events.0.kind" in says(422, event(1, ids[0], kind="a b"))
    assert site.ok("/v1/recommend", {"user": "new user/1"})["cold_start"]
    site.ok("/v1/events", event(1, ids[0]))
    assert "other content" in says(409, event(2, ids[1]), event(1, ids[1]))


def test_an_upserted_item_is_shown_and_can_be_met(site: Site, ids: list[str]) -> None:
    title = "<script>alert(1)</script>"
    put = site.put("/v1/items/brand-new", {"attributes": {"title": title}}).json()
    assert put == {
        "item": "brand-new",
        "title": title,
        "attributes": {"title": title},
        "picture": False,
        "rankable": True,
    }
    site.ok("/v1/events", event(1, "brand-new"))
    known = site.get("/v1/users/new user%2F1/history").json()
    assert [(one["item"], one["read"]) for one in known["events"]] == [("brand-new", True)]
    assert site.ok("/v1/recommend", {"user": "new user/1"})["history"] == ["brand-new"]
    assert site.get(f"/v1/items/{ids[0]}").json()["rankable"]
    picture = site.get(f"/v1/items/{ids[0]}/picture")
    assert picture.headers["content-type"] == "image/png"
    assert 'unknown item "nope"' in site.refused(404, site.get("/v1/items/nope"))
    assert site.refused(404, site.get("/v1/items/brand-new/picture"))
    assert 'unknown attribute "colour"' in site.refused(
        422, site.put("/v1/items/x", {"attributes": {"colour": "red"}})
    )


def test_a_store_that_is_away_is_a_503_and_comes_back(
    make_site: MakeSite, postgresql: PostgreSQL, ids: list[str]
) -> None:
    site = make_site(postgresql.url)
    asked, sent = {"user": "someone"}, event(1, ids[0], user="someone")
    site.ok("/v1/events", sent)
    postgresql.stop()
    try:
        for response in (site.post("/v1/recommend", asked), site.post("/v1/events", event(2, ids[1]))):
            assert "store: not available" in site.refused(503, response)
            assert response.headers["retry-after"] == "1"
        assert site.get("/readyz").status_code == 503
        assert site.get("/healthz").status_code == 200
        site.ok("/v1/recommend", {"history": [ids[0]]})  # needs no store
    finally:
        postgresql.start()
    assert site.get("/readyz").status_code == 200
    assert site.ok("/v1/recommend", asked)["history"] == [ids[0]]
    assert site.ok("/v1/events", sent) == {"accepted": 0, "duplicates": 1}


def test_locked_tables_hold_neither_known_users_nor_readiness_up(
    make_site: MakeSite, postgresql: PostgreSQL
) -> None:
    site = make_site(postgresql.url)
    wipe(site.service.store)
    asked = {"user": "known", "k": 1}
    before = site.ok("/v1/recommend", asked)
    with site.service.store.engine.connect() as connection:
        connection.execute(sa.text("LOCK TABLE events, changes, items, api_keys IN ACCESS EXCLUSIVE MODE"))
        assert site.ok("/v1/recommend", asked) == before
        assert site.get("/readyz").status_code == 200
        assert "store: not available" in site.refused(503, site.post("/v1/recommend", {"user": "new"}))
    assert site.ok("/v1/recommend", {"user": "new"})["cold_start"]


def test_a_forgotten_id_is_taken_out_of_the_log_when_readers_have_ended(site: Site, ids: list[str]) -> None:
    store = site.service.store
    site.ok("/v1/events", {"event_id": "e", "user": "ann", "item": ids[1]})
    with store.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.execute(sa.select(events)).all()
        assert site.delete("/v1/users/ann/history").json()["events_deleted"] == 1
        assert store.log_holds_forgotten
    site.runner.run(site.sync.sync())
    assert not store.log_holds_forgotten


def test_items_met_before_the_latest_events_do_not_come_back(make_site: MakeSite, ids: list[str]) -> None:
    """However few of the events are read, what a user met is not recommended as new."""
    site = make_site(history_events=3)
    asked = {"user": "busy", "k": 200, "exclude_history": True}
    first = [item["item_id"] for item in site.ok("/v1/recommend", asked)["items"]][:8]
    batch = [event(n, item, user="busy", time=100 + n) for n, item in enumerate([*first, *first[:2]])]
    site.ok("/v1/events/batch", {"events": batch})
    answer = site.ok("/v1/recommend", asked)
    assert not set(first) & {item["item_id"] for item in answer["items"]}
    assert answer["history"] == [*first[2:7], first[7], *first[:2]]
