"""Two servers on one store against a model of it: random writes through either, restarts, late reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.serve.conftest import wipe
from tests.serve.site import MakeSite, Site
from unimp.personalizer import Personalizer
from unimp.serve.app import create_app
from unimp.serve.service import STORE_READS
from unimp.serve.settings import ServeSettings
from unimp.serve.store.store import Store

SERVERS = st.integers(0, 1)
USERS = st.sampled_from(["ann", "bob"])
NEW_ITEMS = st.sampled_from(["new 1", "new 2"])
CATEGORIES = st.sampled_from(["mug", "bag"])
SETTINGS = ServeSettings(keys=False, requests_per_second=0.0, sync_seconds=3600.0)


class TwoServers(RuleBasedStateMachine):
    """What both must know: `history` of each user, and `items` that were put since."""

    def __init__(self, personalizer: Personalizer, url: str) -> None:
        super().__init__()
        self.personalizer, self.url = personalizer, url
        self.history: defaultdict[str, list[str]] = defaultdict(list)
        self.items: dict[str, bool] = {}
        self.sent: dict[str, tuple[str, str]] = {}
        """Events by id: user and item."""
        self.forgotten: set[str] = set()
        """Ids of forgotten events."""

    @initialize()
    def start(self) -> None:
        store = Store.open(self.url)
        wipe(store)
        store.close()
        self.sites = [self.site(), self.site()]
        self.known = self.sites[0].service.catalog.item_ids[:4]

    def site(self) -> Site:
        return Site(create_app(self.personalizer, Store.open(self.url), SETTINGS))

    @rule(server=SERVERS, user=USERS, item=st.integers(0, 3))
    def event(self, server: int, user: str, item: int) -> None:
        event_id = f"e{len(self.sent)}"
        self.sent[event_id] = user, self.known[item]
        self.history[user].append(self.known[item])
        assert self.send(server, event_id)["accepted"] == 1

    @precondition(lambda self: self.sent)
    @rule(server=SERVERS, data=st.data())
    def same_event_again(self, server: int, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from(sorted(self.sent)))
        assert self.send(server, event_id) == {"accepted": 0, "duplicates": 1}

    def send(self, server: int, event_id: str) -> dict[str, int]:
        user, item = self.sent[event_id]
        answer: dict[str, int] = self.sites[server].ok(
            "/v1/events", {"event_id": event_id, "user": user, "item": item}
        )
        return answer

    @rule(server=SERVERS, user=USERS)
    def forget(self, server: int, user: str) -> None:
        self.sites[server].delete(f"/v1/users/{user}/history").raise_for_status()
        self.history[user] = []

    @rule(server=SERVERS, item=NEW_ITEMS, category=CATEGORIES)
    def upsert(self, server: int, item: str, category: str) -> None:
        put = self.sites[server].put(f"/v1/items/{item}", {"attributes": {"category": category}})
        put.raise_for_status()
        self.items[item] = True

    @precondition(lambda self: any(self.items.values()))
    @rule(server=SERVERS, data=st.data())
    def remove(self, server: int, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(sorted(name for name, there in self.items.items() if there)))
        self.sites[server].delete(f"/v1/items/{item}").raise_for_status()
        self.items[item] = False

    @rule(server=SERVERS, user=USERS)
    def ask(self, server: int, user: str) -> None:
        """The server has the user's history in memory from now on."""
        self.sites[server].ok("/v1/recommend", {"user": user, "k": 1})

    @rule(server=SERVERS)
    def read_changes(self, server: int) -> None:
        self.sites[server].runner.run(self.sites[server].sync.sync())

    @rule(server=SERVERS)
    def restart(self, server: int) -> None:
        self.sites[server].close()
        self.sites[server] = self.site()

    @rule()
    def compare(self) -> None:
        """After both have read the changes they answer alike, as the model says."""
        for site in self.sites:
            site.runner.run(site.sync.sync())
        for user in ("ann", "bob"):
            answers = [site.ok("/v1/recommend", {"user": user, "k": 200}) for site in self.sites]
            found = [{item["item_id"] for item in answer["items"]} for answer in answers]
            assert found[0] == found[1]
            assert not any(item in found[0] for item, there in self.items.items() if not there)
            assert [answer["history"] for answer in answers] == [self.history[user]] * 2
        for item in self.items:
            views = [site.get(f"/v1/items/{item}").json() for site in self.sites]
            assert views[0] == views[1]
            asked = {"history": [], "item": item}
            rated = [site.post("/v1/rate", asked).status_code for site in self.sites]
            assert rated == [200 if self.items[item] else 422] * 2

    @invariant()
    def writers_know_what_they_wrote(self) -> None:
        """The store itself is never behind."""
        if hasattr(self, "sites"):
            log = self.sites[0].service.store.user_log("ann")
            assert [event.item_id for event in log.events] == self.history["ann"]

    def teardown(self) -> None:
        if hasattr(self, "sites"):
            try:
                self.compare()
            finally:
                for site in self.sites:
                    site.close()


def test_two_servers_on_one_store_hold_what_a_model_of_it_says(
    personalizer: Personalizer, store_url: str
) -> None:
    machine: Callable[[], RuleBasedStateMachine] = lambda: TwoServers(personalizer, store_url)  # noqa: E731
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine, settings=settings(max_examples=5, stateful_step_count=20, derandomize=True, deadline=None)
    )


def test_questions_that_read_the_store_do_not_delay_the_news(make_site: MakeSite) -> None:
    """Reads of the changes have a slot of their own, and their age is measured."""
    writer, reader = make_site(), make_site()
    met = reader.service.catalog.item_ids[3]

    def counted() -> float:
        value = reader.service.metrics.registry.get_sample_value("unimp_sync_age_seconds_count")
        assert value is not None
        return value

    assert reader.ok("/v1/recommend", {"user": "ann"})["history"] == []
    writer.ok("/v1/events", {"event_id": "e", "user": "ann", "item": met})
    slots, before = reader.service.read_slots, counted()
    for number in range(STORE_READS):
        slots.acquire_on_behalf_of_nowait(number)
    reader.runner.run(reader.sync.sync())
    for number in range(STORE_READS):
        slots.release_on_behalf_of(number)
    assert counted() == before + 1
    assert reader.ok("/v1/recommend", {"user": "ann"})["history"] == [met]
