"""What is kept of users gives the cold answers; what is put is answered with, here, elsewhere and later."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from typing import Any

import pytest
from PIL import Image

from tests.serve.http.conftest import MakeSite, Site
from tests.serve.http.test_history import event
from tests.serve.http.test_tasks import close
from unimp.personalizer import Personalizer

TASKS: dict[str, dict[str, Any]] = {"recommend": {}, "search": {"text": "blue bag"}}


@pytest.fixture
def ids(personalizer: Personalizer) -> list[str]:
    return list(personalizer.run.dataset.catalog.item_ids)


def same_as_cold(site: Site, user: str) -> dict[str, Any]:
    """Each task's answer, which is that to the bare history."""
    answers = {}
    for task, words in TASKS.items():
        answer = answers[task] = site.ok(f"/v1/{task}", {"user": user, **words})
        given = {"history": answer["history"], **words}
        close(answer, site.ok(f"/v1/{task}", given))
    return answers


def count(site: Site, name: str, **labels: str) -> float:
    return site.service.metrics.registry.get_sample_value(name, labels) or 0.0


def test_a_user_is_read_once_and_every_answer_is_the_cold_one(make_site: MakeSite, ids: list[str]) -> None:
    site = make_site()
    for number, item in enumerate(ids[10:14]):
        site.ok("/v1/events", event(number, item, user="ann"))
        for _ in range(2):
            answer = same_as_cold(site, "ann")["recommend"]
            assert answer["history"] == ids[10 : 11 + number]
    assert count(site, "unimp_pasts_total", outcome="read") == 4
    assert count(site, "unimp_pasts_total", outcome="kept") == 12
    assert count(site, "unimp_warm_reads_total", outcome="hit") == 8
    assert count(site, "unimp_warm_reads_total", outcome="extended") == 6
    assert count(site, "unimp_warm_reads_total", outcome="miss") == 2
    assert count(site, "unimp_warm_bytes") == site.service.memory.bytes > 0
    again = make_site()  # a restart
    assert same_as_cold(again, "ann")["recommend"]["history"] == ids[10:14]


def test_the_other_tasks_too(make_site: MakeSite, ids: list[str]) -> None:
    """What is read for one item, or one wish, serves the next; an item that is put drops what it is in."""
    site = make_site()
    asked: dict[str, dict[str, Any]] = {
        "search": {"picture": picture("blue")},
        "rate": {"item": ids[30]},
        "explain": {"item": ids[30]},
        "select": {"candidates": ids[30:36], "count": 2},
        "imagine": {"text": "red bag", "seed": 2},
    }
    for number, item in enumerate(ids[10:13]):
        site.ok("/v1/events", event(number, item, user="ann"))
        for _ in range(2):
            for task, words in asked.items():
                warm = site.ok(f"/v1/{task}", {"user": "ann", **words})
                close(warm, site.ok(f"/v1/{task}", {"history": ids[10 : 11 + number], **words}))
    assert len(site.service.memory.prefixes("ann")) >= len(asked)
    assert count(site, "unimp_warm_reads_total", outcome="hit") >= 3 * len(asked)
    assert count(site, "unimp_warm_reads_total", outcome="extended") >= 2 * len(asked)
    put(site, ids[11], ids[40], "red")
    assert not site.service.memory.users()
    cold = make_site(keep="items")
    for task, words in asked.items():
        asked_of = {"user": "ann", **words}
        close(site.ok(f"/v1/{task}", asked_of), cold.ok(f"/v1/{task}", asked_of))
    assert cold.service.memory.bytes == 0


def test_batches_of_users_who_are_known_differently(make_site: MakeSite, ids: list[str]) -> None:
    """Together and one by one, kept and not, the answers are the same."""
    sites = [make_site(), make_site(batching=False, keep="items"), make_site(keep="nothing")]
    for number in range(20):
        site = sites[0]
        site.ok("/v1/events", event(number, ids[number * 3], user=f"u{number % 6}"))
        answers = [one.ok("/v1/recommend", {"user": f"u{number % 7}"}) for one in sites]
        for answer in answers[1:]:
            close(answer, answers[0])
        for one in sites[1:]:
            one.runner.run(one.service.news.look())
    assert count(sites[1], "unimp_warm_states") == 0


def test_a_late_event_changes_the_middle_of_the_history(site: Site, ids: list[str]) -> None:
    site.ok("/v1/events", event(1, ids[1], user="ann", time=10))
    site.ok("/v1/events", event(2, ids[2], user="ann", time=30))
    same_as_cold(site, "ann")
    site.ok("/v1/events", event(3, ids[3], user="ann", time=20))
    assert same_as_cold(site, "ann")["search"]["history"] == [ids[1], ids[3], ids[2]]


def test_who_is_forgotten_is_nowhere_in_memory(make_site: MakeSite, ids: list[str]) -> None:
    here, elsewhere = make_site(), make_site()
    here.ok("/v1/events", event(1, ids[1], user="ann"))
    for site in (here, elsewhere):
        assert not same_as_cold(site, "ann")["recommend"]["cold_start"]
    assert here.delete("/v1/users/ann/history").status_code == 200
    elsewhere.runner.run(elsewhere.service.news.look())
    for site in (here, elsewhere):
        assert "ann" not in site.service.memory.users()
        assert site.service.pasts.get("ann") is None
        assert site.ok("/v1/recommend", {"user": "ann"})["cold_start"]


def test_events_through_another_server_are_seen(make_site: MakeSite, ids: list[str]) -> None:
    here, elsewhere = make_site(), make_site()
    assert here.ok("/v1/recommend", {"user": "ann"})["cold_start"]
    elsewhere.ok("/v1/events", event(1, ids[4], user="ann"))
    here.runner.run(here.service.news.look())
    assert same_as_cold(here, "ann")["recommend"]["history"] == [ids[4]]


def test_what_is_read_while_an_event_arrives_is_not_kept(site: Site, ids: list[str]) -> None:
    pasts = site.service.pasts
    token = pasts.reading("ann")
    past = site.runner.run(site.service.past(site_user("bob")))
    site.ok("/v1/events", event(1, ids[4], user="ann"))
    pasts.keep("ann", past, token)
    assert pasts.get("ann") is None
    assert site.ok("/v1/recommend", {"user": "ann"})["history"] == [ids[4]]


def site_user(user: str) -> Any:
    from unimp.serve.http.schemas import Asker

    return Asker(user=user)


def test_memory_is_bounded(make_site: MakeSite, ids: list[str]) -> None:
    site = make_site(warm_bytes=20_000, past_bytes=5_000)
    for user in range(12):
        site.ok("/v1/events", event(user, ids[user], user=f"u{user}"))
        same_as_cold(site, f"u{user}")
    assert 0 < site.service.memory.bytes <= 20_000
    assert 0 < site.service.pasts.bytes <= 5_000
    assert len(site.service.pasts.kept) < 12


def picture(colour: str) -> str:
    file = io.BytesIO()
    Image.new("RGB", (20, 16), colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def put(site: Site, item: str, like: str, colour: str | None = None) -> None:
    """An item with the attributes of another."""
    attributes = site.get(f"/v1/items/{like}").json()["attributes"]
    body = {"attributes": attributes} | ({"picture": picture(colour)} if colour else {})
    response = site.put(f"/v1/items/{item}", body)
    assert response.status_code == 200, response.text
    assert response.json()["rankable"]


def test_a_new_item_is_answered_with_everywhere(make_site: MakeSite, ids: list[str]) -> None:
    """At once, on another server, after a restart: among the best for words that are its own."""
    here, elsewhere = make_site(), make_site()
    sentence = " ".join(here.get(f"/v1/items/{ids[7]}").json()["attributes"].values())
    put(here, "brand-new", ids[7], "blue")
    elsewhere.runner.run(elsewhere.service.news.look())
    answers = []
    for site in (here, elsewhere, make_site()):
        assert site.get("/v1/items/brand-new").json()["picture"]
        asked = {"history": ids[:3], "k": 200}
        found = site.ok("/v1/search", {**asked, "text": sentence})
        answers.append([(one["item_id"], round(one["score"], 3)) for one in found["items"]])
        forecast = site.ok("/v1/rate", {"history": ids[:3], "item": "brand-new"})
        assert 1 <= forecast["mean"] <= 5
        chosen = site.ok("/v1/select", {"history": ids[:3], "candidates": ["brand-new", ids[4]], "count": 2})
        assert set(chosen["chosen"]) == {"brand-new", ids[4]}
        assert site.ok("/v1/explain", {"history": ["brand-new"], "item": "brand-new"})["item_id"]
    assert answers[0] == answers[1] == answers[2]
    assert len(here.service.catalog) == 321
    here.ok("/v1/events", event(1, "brand-new", user="ann"))
    assert same_as_cold(here, "ann")["recommend"]["history"] == ["brand-new"]


def test_a_changed_item_changes_the_answers_of_those_who_met_it(make_site: MakeSite, ids: list[str]) -> None:
    site = make_site()
    site.ok("/v1/events", event(1, ids[5], user="ann"))
    site.ok("/v1/events", event(2, ids[6], user="bob"))
    before = same_as_cold(site, "ann"), same_as_cold(site, "bob")
    put(site, ids[5], ids[9], "red")
    assert site.service.memory.users() == {"bob"}
    after = same_as_cold(site, "ann"), same_as_cold(site, "bob")
    assert after[0]["recommend"]["items"] != before[0]["recommend"]["items"]
    again = make_site(keep="items")
    for task, words in TASKS.items():
        close(again.ok(f"/v1/{task}", {"user": "ann", **words}), after[0][task])


def test_many_items_put_at_once_wait_for_the_model_together(make_site: MakeSite) -> None:
    site, gate = make_site(), threading.Event()

    async def put_all() -> None:
        site.service.engine.thread.submit(gate.wait)  # the model is busy
        body = {"attributes": {"category": "mug"}}
        puts = [asyncio.ensure_future(site.client.put(f"/v1/items/n{n}", json=body)) for n in range(40)]
        while len(site.service.store.news(0, 0).versions) < 40:
            await asyncio.sleep(0.01)
        gate.set()
        assert {response.status_code for response in await asyncio.gather(*puts)} == {200}

    site.runner.run(put_all())
    assert len(site.service.catalog) == 360
    assert count(site, "unimp_batch_size_count", task="put") < 5
    assert site.service.shelf.missing(site.service.store.news(0, 0).versions) == []


def test_a_picture_that_cannot_be_read_any_more_is_left_out(
    make_site: MakeSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site = make_site()
    site.service.store.put_item("old", {"category": "mug", "size of it": "XL"}, b"no picture")
    again = make_site()
    assert 'item "old"' in capsys.readouterr().err
    assert again.service.catalog.item(again.service.catalog.row_of["old"]).attributes == {"category": "mug"}
    assert again.ok("/v1/recommend", {"history": ["old"]})["history"] == ["old"]
