"""What bodies may hold: bytes by route, values, unknown fields; and that keys are not locked out."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Message

from tests.serve.site import MakeSite, Site
from unimp.core.errors import ConfigError, DataError
from unimp.serve.decoder_program import LESS_URGENT
from unimp.serve.decoding import DecodingBudget, PictureDecoder
from unimp.serve.errors import Busy
from unimp.serve.items import PictureFile, ShownPicture
from unimp.serve.limits import BodyLimits, BoundedBody
from unimp.serve.pictures import check_upload, decoding_bytes
from unimp.serve.queue import TaskQueue
from unimp.serve.schemas import MOST_ENTRIES, ItemIn
from unimp.serve.security import check_key_name, client_address
from unimp.serve.service import in_slot
from unimp.serve.settings import BODY_COPIES, PIXEL_BYTES, WORKING_BYTES, ServeSettings, parse_bytes
from unimp.serve.store.records import Added
from unimp.serve.store.store import Store, StoreUnavailable

JSON = {"content-type": "application/json"}
ASKED = {"history": [], "k": 1}


def test_only_the_routes_of_pictures_take_large_bodies(site: Site) -> None:
    large = b" " * (site.service.settings.text_bytes + 1)
    for path in ("/v1/recommend", "/v1/events/batch"):
        refused = site.refused(413, site.post(path, content=large, headers=JSON))
        assert "larger than 1,048,576 bytes" in refused
    for path in ("/v1/search", "/v1/items/x"):
        method = site.put if path.startswith("/v1/items") else site.post
        assert method(path, content=large, headers=JSON).status_code in (400, 422)


def test_signing_in_takes_one_key(make_site: MakeSite) -> None:
    site = make_site(keys=True)
    assert "larger than 1,024 bytes" in site.refused(413, site.post("/sign-in", data={"key": "k" * 1100}))


def test_a_body_of_very_many_values_is_not_parsed(site: Site) -> None:
    body = b'{"history": [' + b"0," * 100_001 + b"0]}"
    assert "more than 100,000 values" in site.refused(
        413, site.post("/v1/recommend", content=body, headers=JSON)
    )


def test_the_first_unknown_field_ends_the_validation(site: Site) -> None:
    unknown = {f"field {number}": 0 for number in range(5000)}
    with pytest.raises(ValidationError) as caught:
        ItemIn.model_validate(unknown)
    assert len(caught.value.errors()) == 1
    for path in ("/v1/recommend", "/v1/search", "/v1/events"):
        assert site.refused(422, site.post(path, unknown)).startswith("field 0: unknown field")
    nested = site.refused(422, site.post("/v1/events/batch", {"events": [unknown]}))
    assert nested.startswith("events.0.field 0: unknown field")


def test_a_field_of_very_many_entries_is_not_validated(site: Site) -> None:
    """Every wrong entry would become an error: 90,000 of them took a second."""
    many = [0] * (MOST_ENTRIES + 1)
    pairs = {f"name {number}": number for number in range(MOST_ENTRIES + 1)}
    with pytest.raises(ValidationError) as caught:
        ItemIn.model_validate({"attributes": pairs})
    assert len(caught.value.errors()) == 1
    asked: list[tuple[str, dict[str, Any]]] = [
        ("recommend", {"history": many}),
        ("select", {"history": [], "candidates": many}),
        ("imagine", {"attributes": pairs}),
        ("events/batch", {"events": many}),
    ]
    for path, document in asked:
        refused = site.refused(422, site.post(f"/v1/{path}", document))
        assert refused == f"{list(document)[-1]}: more than 2,000 entries; send fewer"
    assert "2,000 entries" in site.refused(422, site.put("/v1/items/x", {"attributes": pairs}))


def test_the_bodies_of_all_requests_together_are_bounded() -> None:
    limits = BodyLimits(ServeSettings(held_bytes=300_000), frozenset())

    def body(size: int) -> BoundedBody:
        async def receive() -> Message:
            return {"type": "http.request", "body": bytes(size), "more_body": False}

        return BoundedBody(limits, 10**6, receive, is_file=True)

    first, second, small = body(200_000), body(200_000), body(50_000)
    asyncio.run(first.receive())
    with pytest.raises(HTTPException) as refused:
        asyncio.run(second.receive())
    assert refused.value.status_code == 503
    asyncio.run(small.receive())
    for held in (first, second, small):
        held.release()
    assert limits.held == 0
    asyncio.run(second.receive())


def test_pictures_are_decoded_as_far_as_their_bytes_fit() -> None:
    budget = DecodingBudget(100)
    running: set[str] = set()
    most: list[set[str]] = []
    opened = threading.Event()

    def work(name: str) -> str:
        running.add(name)
        most.append(set(running))
        assert opened.wait(20)
        running.discard(name)
        return name

    async def ask() -> list[str]:
        sizes = {"a": 60, "b": 30, "leaves": 30, "c": 10, "huge": 1000, "d": 1}
        tasks = {
            name: asyncio.ensure_future(budget.run(size, partial(work, name))) for name, size in sizes.items()
        }
        while len(running) < 2:
            await asyncio.sleep(0.001)
        assert budget.bytes == 90
        tasks.pop("leaves").cancel()
        opened.set()
        return list(await asyncio.gather(*tasks.values()))

    assert asyncio.run(ask()) == ["a", "b", "c", "huge", "d"]
    assert max(map(len, most)) == 2
    assert [names for names in most if "huge" in names] == [{"huge"}]
    assert (budget.bytes, budget.running, len(budget.waiting)) == (0, 0, 0)


def test_who_leaves_does_not_free_a_decoder_that_is_at_work() -> None:
    """Or clients that send a picture and leave would have any number of them decoded at once."""
    budget, opened, begun = DecodingBudget(10), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert opened.wait(20)

    async def leave() -> tuple[int, int]:
        call = asyncio.ensure_future(budget.run(10, work))
        await asyncio.to_thread(begun.wait, 20)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        held = budget.bytes
        opened.set()
        while budget.running:
            await asyncio.sleep(0.001)
        return held, budget.bytes

    assert asyncio.run(leave()) == (10, 0)
    budget.close()


def test_who_leaves_does_not_free_a_slot_of_the_store() -> None:
    opened, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert opened.wait(20)

    async def leave() -> tuple[int, int]:
        slots = anyio.CapacityLimiter(1)
        call = asyncio.ensure_future(in_slot(slots, work))
        await asyncio.to_thread(begun.wait, 20)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        held = slots.borrowed_tokens
        opened.set()
        while slots.borrowed_tokens:
            await asyncio.sleep(0.001)
        return int(held), int(slots.borrowed_tokens)

    assert asyncio.run(leave()) == (1, 0)


def test_a_decoder_is_less_urgent_than_the_server_and_replaced_when_it_ends() -> None:
    """Native code may fall over a stranger's bytes: the server does not."""
    decoder, file = PictureDecoder(), io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(file, "PNG")
    assert decoder.pixels(file.getvalue(), "picture", 2, 3).tolist() == [[[255, 0, 0]] * 3] * 2
    with pytest.raises(DataError, match="item: not a picture of a known format"):
        decoder.pixels(b"no picture", "item", 2, 3)
    process = decoder.idle.get()
    assert process is not None
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, own + LESS_URGENT)
    process.kill()
    process.wait()
    decoder.idle.put(process)
    with pytest.raises(DataError, match="item: cannot be decoded"):
        decoder.png(file.getvalue(), "item", 10)
    assert Image.open(io.BytesIO(decoder.png(file.getvalue(), "item", 10))).size == (10, 7)
    decoder.close()


def test_the_clients_pictures_are_decoded_in_turns() -> None:
    budget, order, opened = DecodingBudget(1), list[str](), threading.Event()

    def work(name: str) -> None:
        assert opened.wait(20)
        order.append(name)

    async def ask() -> None:
        names = ["a1", "a2", "a3", "b1", "c1", "b2"]
        calls = [asyncio.ensure_future(budget.run(1, partial(work, name), name[0])) for name in names]
        await asyncio.sleep(0)
        opened.set()
        await asyncio.gather(*calls)

    asyncio.run(ask())
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_pictures_memory_is_known_before_it_is_decoded() -> None:
    file = io.BytesIO()
    Image.new("RGB", (300, 200)).save(file, "PNG")
    assert decoding_bytes(file.getvalue()) == 300 * 200 * 16
    assert decoding_bytes(b"no picture") == 0
    webp = io.BytesIO()
    Image.new("RGB", (300, 200)).save(webp, "WEBP")
    assert decoding_bytes(webp.getvalue()) == 300 * 200 * 24
    settings = ServeSettings(decoding_bytes=300 * 200 * 20)
    check_upload(file.getvalue(), settings)
    with pytest.raises(DataError, match="a WebP of 300x200 pixels, at most 50,000 are read; save it as"):
        check_upload(webp.getvalue(), settings)


def test_wrong_keys_do_not_lock_right_ones_out(make_site: MakeSite) -> None:
    site = make_site(keys=True, requests_per_second=0.001, burst=2)
    for name in ("one", "two"):
        site.service.store.add_key(f"secret of {name}", name, frozenset({"read"}))

    def status(secret: str) -> int:
        return site.post("/v1/recommend", ASKED, headers={"Authorization": f"Bearer {secret}"}).status_code

    assert [status("guess") for _ in range(4)] == [401, 401, 429, 429]
    assert [status("secret of one"), status("secret of two"), status("guess")] == [200, 200, 429]


def test_known_keys_stay_known_while_the_store_is_away(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:

    def away() -> Any:
        raise StoreUnavailable("store: not available")

    site = make_site(keys=True)
    site.service.store.add_key("secret", "me", frozenset({"read"}))
    headers = {"Authorization": "Bearer secret"}
    assert site.post("/v1/recommend", ASKED, headers=headers).status_code == 200
    monkeypatch.setattr(site.service.store, "keys_by_digest", away)
    keys = site.app.state.keys
    keys.read_at -= 20
    assert site.post("/v1/recommend", ASKED, headers=headers).status_code == 200
    unknown = site.post("/v1/recommend", ASKED, headers={"Authorization": "Bearer other"})
    assert unknown.status_code == 503
    keys.read_at -= 600
    keys.failed_at -= 600
    assert site.post("/v1/recommend", ASKED, headers=headers).status_code == 503


def test_a_trusted_proxy_names_the_client() -> None:
    def address(peer: str, forwarded: str, *trusted: str) -> str:
        headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
        scope = {"type": "http", "client": (peer, 1), "headers": headers}
        return client_address(HTTPConnection(scope), frozenset(trusted))

    assert address("9.9.9.9", "1.1.1.1") == "9.9.9.9"
    assert address("10.0.0.1", "1.1.1.1", "10.0.0.1") == "1.1.1.1"
    assert address("10.0.0.1", "6.6.6.6, 1.1.1.1", "10.0.0.1") == "1.1.1.1"
    assert address("10.0.0.1", "1.1.1.1, 10.0.0.2", "10.0.0.1", "10.0.0.2") == "1.1.1.1"
    assert address("10.0.0.1", "", "10.0.0.1") == "10.0.0.1"


def test_small_things(make_site: MakeSite) -> None:
    site = make_site()
    for path in ("/healthz", "/readyz"):
        assert site.runner.run(site.client.head(path)).status_code == 200
    assert site.get("/healthz", headers={"Host": "LOCALHOST:8000"}).status_code == 200
    assert "location" not in site.get("/healthz/", headers={"Host": "localhost"}).headers
    event = {
        "event_id": "1",
        "user": "a",
        "item": site.service.catalog.item_ids[0],
        "time": 1_800_000_000_000,
    }
    assert site.refused(422, site.post("/v1/events", event)).startswith("time: ")
    assert site.post("/sign-out").headers["location"] == "/sign-in"


def test_a_slow_store_does_not_hold_known_keys_up(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a lock that writers wait for hold readers up."""
    site = make_site(keys=True)
    store, released = site.service.store, threading.Event()
    store.add_key("secret", "me", frozenset({"read", "write-events"}))
    headers = {"Authorization": "Bearer secret"}
    assert site.post("/v1/recommend", ASKED, headers=headers).status_code == 200
    item = site.service.catalog.item_ids[0]
    for name in ("keys_by_digest", "add_events"):
        monkeypatch.setattr(store, name, lambda *_: released.wait(20) and Added(1, 0))
    site.app.state.keys.read_at -= 20

    async def ask() -> list[int]:
        writers = [
            asyncio.create_task(
                site.client.post(
                    "/v1/events", json={"event_id": str(n), "user": "a", "item": item}, headers=headers
                )
            )
            for n in range(8)
        ]
        await asyncio.sleep(0)
        asked = [site.client.post("/v1/recommend", json={"user": f"u{n}"}, headers=headers) for n in range(3)]
        answers = await asyncio.gather(*asked, site.client.get("/readyz"))
        waiting = [not writer.done() for writer in writers]
        released.set()
        await asyncio.gather(*writers)
        assert all(waiting)
        return [answer.status_code for answer in answers]

    assert site.runner.run(ask()) == [200, 200, 200, 200]


def test_what_is_held_is_shown_with_its_bound(site: Site) -> None:
    """What connections hold is added by their server; see `test_connections.py`."""
    site.ok("/v1/search", {"user": "somebody", "text": "blue bag"})
    value = site.service.metrics.registry.get_sample_value
    for name in ("prefixes", "histories", "pictures", "questions", "bodies", "decoders", "queries", "rates"):
        held, bound = (value(f"unimp_held_bytes{end}", {"of": name}) for end in ("", "_bound"))
        assert held is not None
        assert bound is not None
        assert 0 <= held <= bound
    for name in ("histories", "queries"):
        assert value("unimp_held_bytes", {"of": name})


def test_pictures_that_wait_for_a_decoder_are_held(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 6 MiB each, as often as somebody asks at once."""
    site = make_site(held_bytes=100_000)
    file = PictureFile(bytes(70_000), "1")
    monkeypatch.setattr(site.service.items, "picture_file", lambda _: file)
    opened = threading.Event()
    monkeypatch.setattr(
        site.service.items, "show_picture", lambda *_: opened.wait(20) and ShownPicture(b"", "1")
    )

    async def ask() -> list[int]:
        calls = [asyncio.ensure_future(site.client.get(f"/v1/items/{name}/picture")) for name in "ab"]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        opened.set()
        return sorted([answer.status_code for answer in await asyncio.gather(*calls)])

    assert site.runner.run(ask()) == [200, 503]
    assert site.service.bodies.held == 0


@pytest.mark.parametrize("memory", ["1GiB", "2GiB", "64GB"])
def test_one_budget_is_divided_over_all_caches_and_queues(memory: str) -> None:
    resident, total = 400 * 2**20, parse_bytes(memory)
    settings = ServeSettings().within(total, resident)
    bounds = {name: value for name, value in settings.model_dump().items() if name.endswith("_bytes")}
    caches = ("prefix_cache_bytes", "history_cache_bytes", "picture_cache_bytes")
    held = sum(bounds[name] for name in (*caches, "decoding_bytes", "waiting_bytes", "unread_bytes"))
    assert held + BODY_COPIES * bounds["held_bytes"] + resident + WORKING_BYTES <= total
    assert held + BODY_COPIES * bounds["held_bytes"] + resident + WORKING_BYTES > 0.99 * total
    assert settings.picture_pixels * PIXEL_BYTES <= settings.decoding_bytes
    assert settings.held_bytes >= settings.body_bytes
    assert min(bounds.values()) > 0


def test_too_little_memory_is_one_line() -> None:
    with pytest.raises(ConfigError, match="400 MiB; give at least 721MiB"):
        ServeSettings().within(500 * 2**20, 400 * 2**20)
    with pytest.raises(ConfigError, match="write it as 2GiB"):
        parse_bytes("much")
    assert [parse_bytes(text) for text in ("2GiB", "1.5 MB", "3k", "7")] == [2 * 2**30, 1_500_000, 3000, 7]


def test_questions_that_wait_are_bounded_in_bytes(make_site: MakeSite) -> None:
    site = make_site(waiting_bytes=10_000)
    worker, opened = site.service.worker, threading.Event()
    queue: TaskQueue[str, str] = worker.add_queue(
        "slow", lambda asked: opened.wait(20) and asked, batched=False
    )

    async def ask() -> list[Any]:
        calls = [asyncio.ensure_future(worker.ask(queue, name, num_bytes=6000)) for name in "abc"]
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        calls.append(asyncio.ensure_future(worker.ask(queue, "d", num_bytes=6000)))
        await asyncio.sleep(0)
        opened.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = site.runner.run(ask())
    assert answers.count("a") == 1
    assert any(isinstance(answer, Busy) for answer in answers)
    assert worker.bytes == 0


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", " a"])
def test_a_key_needs_a_name(name: str) -> None:
    with pytest.raises(ConfigError, match="key name"):
        check_key_name(name)
    assert check_key_name("shop front") == "shop front"


def test_a_store_is_the_owners_and_is_not_made_by_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "store.db"
    with pytest.raises(ConfigError, match="no such file"):
        Store.open(f"sqlite:///{file}", create=False)
    assert not file.exists()
    Store.open(f"sqlite:///{file}").close()
    assert capsys.readouterr().err == f"store: {file} is new\n"
    assert file.stat().st_mode & 0o077 == 0
    Store.open(f"sqlite:///{file}", create=False).close()
    assert capsys.readouterr().err == ""
    another = tmp_path / "another.db"
    another.touch()
    with pytest.raises(ConfigError, match=r"another.db: holds no store yet; check the name"):
        Store.open(f"sqlite:///{another}", create=False)


def test_a_failed_read_of_a_history_leaves_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise StoreUnavailable("store: not available")

    monkeypatch.setattr(site.service.store, "user_log", away)
    for number in range(3):
        assert site.post("/v1/recommend", {"user": f"u{number}"}).status_code == 503
    assert not site.service.histories.readers


def test_what_waits_is_counted(site: Site) -> None:
    worker, opened = site.service.worker, threading.Event()
    queue: TaskQueue[str, str] = worker.add_queue(
        "gate", lambda asked: opened.wait(20) and asked, batched=False
    )

    async def ask() -> float | None:
        calls = [asyncio.ensure_future(worker.ask(queue, name)) for name in "abc"]
        while len(queue.waiting) != 2:
            await asyncio.sleep(0.001)
        shown = site.service.metrics.registry.get_sample_value("unimp_waiting")
        opened.set()
        await asyncio.gather(*calls)
        return shown

    assert site.runner.run(ask()) == 2
