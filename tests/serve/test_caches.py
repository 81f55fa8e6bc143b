"""What is kept of users gives the cold answers; what is put is answered with, here, elsewhere and later."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from typing import Any

import pytest
from PIL import Image

from tests.closeness import close
from tests.serve.site import MakeSite, Site
from tests.serve.test_history import event
from unimp.personalizer import Personalizer
from unimp.serve.connection import ClientGone
from unimp.serve.model import Question, check_any
from unimp.serve.users import UserHistory
from unimp.tasks.requests import TaskRequest

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
    assert count(site, "unimp_histories_total", outcome="read") == 4
    assert count(site, "unimp_histories_total", outcome="cached") == 12
    assert count(site, "unimp_prefix_reads_total", outcome="hit") == 8
    assert count(site, "unimp_prefix_reads_total", outcome="extended") == 6
    assert count(site, "unimp_prefix_reads_total", outcome="miss") == 2
    assert count(site, "unimp_prefix_bytes") == site.service.model.prefixes.bytes > 0
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
    assert len(site.service.model.prefixes.prefixes("ann")) >= len(asked)
    assert count(site, "unimp_prefix_reads_total", outcome="hit") >= 3 * len(asked)
    assert count(site, "unimp_prefix_reads_total", outcome="extended") >= 2 * len(asked)
    put(site, ids[11], ids[40], "red")
    assert not site.service.model.cached_users()
    cold = make_site(prefix_cache_bytes=0)
    for task, words in asked.items():
        asked_of = {"user": "ann", **words}
        close(site.ok(f"/v1/{task}", asked_of), cold.ok(f"/v1/{task}", asked_of))
    assert cold.service.model.prefixes.bytes == 0


def test_batches_of_users_who_are_known_differently(make_site: MakeSite, ids: list[str]) -> None:
    """Together and one by one, kept and not, the answers are the same."""
    sites = [
        make_site(),
        make_site(batch=1, prefix_cache_bytes=0),
        make_site(prefix_cache_bytes=0, history_cache_bytes=0),
    ]
    for number in range(20):
        site = sites[0]
        site.ok("/v1/events", event(number, ids[number * 3], user=f"u{number % 6}"))
        answers = [one.ok("/v1/recommend", {"user": f"u{number % 7}"}) for one in sites]
        for answer in answers[1:]:
            close(answer, answers[0])
        for one in sites[1:]:
            one.runner.run(one.sync.sync())
    assert count(sites[1], "unimp_prefixes") == 0


def test_waiting_requests_of_any_task_are_one_call(make_site: MakeSite, ids: list[str]) -> None:
    """Of users whose histories are cached to different lengths, and of one who is unknown."""
    site, users = make_site(), [f"u{user}" for user in range(4)]
    for number in range(6):
        site.ok("/v1/events", event(number, ids[10 + number], user=users[number % 3]))
    asked: dict[str, dict[str, Any]] = {
        "recommend": {"k": 5},
        "search": {"text": "blue bag"},
        "rate": {"item": ids[30]},
        "explain": {"item": ids[30]},
        "select": {"candidates": ids[30:36], "count": 2},
        "generate-image": {"text": "red bag", "seed": 2},
    }

    async def together(path: str, words: dict[str, Any]) -> list[Any]:
        gate = threading.Event()
        site.service.worker.thread.submit(gate.wait)  # the model is busy
        ahead = asyncio.ensure_future(site.service.call(lambda: None))  # and the next call is taken
        calls = [asyncio.ensure_future(post(path, {"user": user, **words})) for user in users]
        while site.service.worker.num_waiting < len(users):
            await asyncio.sleep(0.01)
        gate.set()
        await ahead
        return list(await asyncio.gather(*calls))

    async def post(path: str, body: dict[str, Any]) -> Any:
        response = await site.client.post(path, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    for task, words in asked.items():
        site.ok(f"/v1/{task}", {"user": users[0], **words})
        before = count(site, "unimp_batch_size_count", task=task)
        found = site.runner.run(together(f"/v1/{task}", words))
        assert count(site, "unimp_batch_size_count", task=task) == before + 1
        for answer in found:
            close(answer, site.ok(f"/v1/{task}", {"history": answer["history"], **words}))
        assert [len(answer["history"]) for answer in found] == [2, 2, 2, 0]
    assert site.service.model.cached_users() >= set(users[:3])


def test_a_call_goes_on_while_one_of_its_clients_stays() -> None:
    history, request = UserHistory.from_items([]), TaskRequest()
    leaving, staying = (Question(request, history, None, gone) for gone in (lambda: True, lambda: False))
    check_any([leaving, staying, leaving])
    with pytest.raises(ClientGone):
        check_any([leaving, leaving])


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
    elsewhere.runner.run(elsewhere.sync.sync())
    for site in (here, elsewhere):
        assert "ann" not in site.service.model.cached_users()
        assert site.service.histories.get("ann") is None
        assert site.ok("/v1/recommend", {"user": "ann"})["cold_start"]


def test_events_through_another_server_are_seen(make_site: MakeSite, ids: list[str]) -> None:
    here, elsewhere = make_site(), make_site()
    assert here.ok("/v1/recommend", {"user": "ann"})["cold_start"]
    elsewhere.ok("/v1/events", event(1, ids[4], user="ann"))
    here.runner.run(here.sync.sync())
    assert same_as_cold(here, "ann")["recommend"]["history"] == [ids[4]]


def test_what_is_read_while_an_event_arrives_is_not_kept(site: Site, ids: list[str]) -> None:
    cache = site.service.histories
    token = cache.begin_read("ann")
    history = site.runner.run(site.service.history(TaskRequest(user="bob")))
    site.ok("/v1/events", event(1, ids[4], user="ann"))
    cache.end_read("ann", token, history)
    assert cache.get("ann") is None
    assert site.ok("/v1/recommend", {"user": "ann"})["history"] == [ids[4]]


def test_memory_is_bounded(make_site: MakeSite, ids: list[str]) -> None:
    site = make_site(prefix_cache_bytes=20_000, history_cache_bytes=5_000)
    for user in range(12):
        site.ok("/v1/events", event(user, ids[user], user=f"u{user}"))
        same_as_cold(site, f"u{user}")
    assert 0 < site.service.model.prefixes.bytes <= 20_000
    assert 0 < site.service.histories.bytes <= 5_000
    assert len(site.service.histories.histories) < 12


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
    elsewhere.runner.run(elsewhere.sync.sync())
    answers = []
    for site in (here, elsewhere, make_site()):
        assert site.get("/v1/items/brand-new").json()["picture"]
        asked = {"history": ids[:3], "k": 200}
        found = site.ok("/v1/search", {**asked, "text": sentence})
        answers.append(found["items"])
        forecast = site.ok("/v1/rate", {"history": ids[:3], "item": "brand-new"})
        assert 1 <= forecast["mean"] <= 5
        chosen = site.ok("/v1/select", {"history": ids[:3], "candidates": ["brand-new", ids[4]], "count": 2})
        assert set(chosen["chosen"]) == {"brand-new", ids[4]}
        assert site.ok("/v1/explain", {"history": ["brand-new"], "item": "brand-new"})["item_id"]
    close(answers[1], answers[0])
    close(answers[2], answers[0])
    assert len(here.service.catalog) == 321
    here.ok("/v1/events", event(1, "brand-new", user="ann"))
    assert same_as_cold(here, "ann")["recommend"]["history"] == ["brand-new"]


def test_a_changed_item_changes_the_answers_of_those_who_met_it(make_site: MakeSite, ids: list[str]) -> None:
    site = make_site()
    site.ok("/v1/events", event(1, ids[5], user="ann"))
    site.ok("/v1/events", event(2, ids[6], user="bob"))
    before = same_as_cold(site, "ann"), same_as_cold(site, "bob")
    put(site, ids[5], ids[9], "red")
    assert site.service.model.cached_users() == {"bob"}
    after = same_as_cold(site, "ann"), same_as_cold(site, "bob")
    assert after[0]["recommend"]["items"] != before[0]["recommend"]["items"]
    again = make_site(prefix_cache_bytes=0)
    for task, words in TASKS.items():
        close(again.ok(f"/v1/{task}", {"user": "ann", **words}), after[0][task])


def test_many_items_put_at_once_wait_for_the_model_together(make_site: MakeSite) -> None:
    site, gate = make_site(), threading.Event()

    async def put_all() -> None:
        site.service.worker.thread.submit(gate.wait)  # the model is busy
        body = {"attributes": {"category": "mug"}}
        puts = [asyncio.ensure_future(site.client.put(f"/v1/items/n{n}", json=body)) for n in range(40)]
        while len(site.service.store.item_versions()) < 40:
            await asyncio.sleep(0.01)
        gate.set()
        assert {response.status_code for response in await asyncio.gather(*puts)} == {200}

    site.runner.run(put_all())
    assert len(site.service.catalog) == 360
    assert count(site, "unimp_batch_size_count", task="put") < 5
    assert site.service.item_sync.outdated(site.service.store.item_versions()) == []


def test_a_picture_that_cannot_be_read_any_more_is_left_out(
    make_site: MakeSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site = make_site()
    site.service.store.put_item("old", {"category": "mug", "size of it": "XL"}, b"no picture")
    again = make_site()
    assert 'item "old"' in capsys.readouterr().err
    assert again.service.catalog.item(again.service.catalog.row_of["old"]).attributes == {"category": "mug"}
    assert again.ok("/v1/recommend", {"history": ["old"]})["history"] == ["old"]
