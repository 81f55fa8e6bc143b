"""Keys, roles, addresses and origins one by one, by a clock that stands still."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from unimp.core.errors import ConfigError
from unimp.serve import limits, security
from unimp.serve.limits import Rates
from unimp.serve.security import (
    FRESH_SECONDS,
    MISSED_SECONDS,
    ROLES,
    STALE_SECONDS,
    Keys,
    Principal,
    check_key_name,
    check_origin,
    client_address,
    host_name,
    needs,
    parse_roles,
    secret_of,
)
from unimp.serve.settings import ServeSettings
from unimp.serve.store.records import ApiKey
from unimp.serve.store.store import Store, StoreUnavailable, digest


@dataclass
class Clock:
    """Stands in for the module `time`."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class KeyTable:
    """Stands in for the store: counts how often it is read, and can be away or slow."""

    keys: dict[str, ApiKey] = field(default_factory=dict)
    reads: int = 0
    away: bool = False
    gate: threading.Event | None = None

    def keys_by_digest(self) -> dict[str, ApiKey]:
        self.reads += 1
        if self.gate is not None:
            self.gate.wait(10)
        if self.away:
            raise StoreUnavailable("away")
        return dict(self.keys)

    def add(self, secret: str, *roles: str) -> None:
        self.keys[digest(secret)] = ApiKey(secret, frozenset(roles))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(security, "time", clock)
    monkeypatch.setattr(limits, "time", clock)
    return clock


def make_keys(table: KeyTable, **settings: Any) -> Keys:
    chosen = ServeSettings(**settings)
    return Keys(cast(Store, table), chosen, Rates(chosen))


def connection(client: str | None = "9.9.9.9", method: str = "GET", **headers: str) -> HTTPConnection:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    address = None if client is None else (client, 1)
    return HTTPConnection({"type": "http", "method": method, "headers": pairs, "client": address})


def found(keys: Keys, secret: str) -> ApiKey | None:
    return asyncio.run(keys.find(secret, "somewhere"))


def test_roles_are_read_and_unknown_ones_are_named() -> None:
    assert parse_roles(" read , admin,") == {"read", "admin"}
    with pytest.raises(ConfigError, match="none given; known: admin, read, write-events"):
        parse_roles(" , ")
    with pytest.raises(ConfigError, match="--role: rites, rode;"):
        parse_roles("read,rode,rites")


@pytest.mark.parametrize("name", ["", "n" * 65, " a", "a ", "a\nb"])
def test_names_that_nobody_can_read_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="must be 1 to 64 visible letters"):
        check_key_name(name)


def test_names_of_one_and_of_sixty_four_letters() -> None:
    assert check_key_name("n") == "n"
    assert check_key_name("n" * 64) == "n" * 64


def test_a_role_opens_itself_and_admin_opens_all() -> None:
    reader, admin = Principal("r", frozenset({"read"})), Principal("a", frozenset({"admin"}))
    assert reader.may("read")
    assert not reader.may("write-events")
    assert admin.may("write-events")

    def ask(principal: Principal) -> Principal:
        request = Request({"type": "http", "headers": [], "state": {"principal": principal}})
        answer: Principal = asyncio.run(needs("write-events")(request))
        return answer

    assert ask(admin) is admin
    with pytest.raises(HTTPException, match='key "r" lacks the role write-events') as refused:
        ask(reader)
    assert refused.value.status_code == 403


def test_a_key_is_read_from_its_three_places_in_order() -> None:
    everywhere = {"authorization": "bEaReR  one ", "x_api_key": "two", "cookie": "unimp_key=three"}
    assert secret_of(connection(**everywhere)) == "one"
    del everywhere["authorization"]
    assert secret_of(connection(**everywhere)) == "two"
    assert secret_of(connection(cookie="unimp_key=three")) == "three"
    assert secret_of(connection(authorization="Basic one", x_api_key="two")) == "two"
    assert secret_of(connection(authorization="Bearer", x_api_key="two")) == "two"
    assert secret_of(connection()) is None


def test_the_nearest_machine_that_is_no_trusted_proxy_is_the_client() -> None:
    trusted = frozenset({"10.0.0.1", "10.0.0.2"})
    assert client_address(connection("9.9.9.9", x_forwarded_for="1.1.1.1"), trusted) == "9.9.9.9"
    assert client_address(connection("10.0.0.1", x_forwarded_for="1.1.1.1"), trusted) == "1.1.1.1"
    chain = connection("10.0.0.1", x_forwarded_for="6.6.6.6, 1.1.1.1 , 10.0.0.2")
    assert client_address(chain, trusted) == "1.1.1.1"
    assert client_address(connection("10.0.0.1"), trusted) == "10.0.0.1"
    assert client_address(connection(None), frozenset()) == "local"
    long = connection("10.0.0.1", x_forwarded_for="x" * 99)
    assert client_address(long, trusted) == "x" * 64


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("[::1]:8000", "::1"),
        ("[::1]", "::1"),
        ("localhost:80", "localhost"),
        ("shop.example", "shop.example"),
    ],
)
def test_hosts_without_their_ports(host: str, name: str) -> None:
    assert host_name(host) == name


def refusal(method: str, *, keys: bool, **headers: str) -> int:
    """The status with which the origin is refused; 200 where it is not."""
    try:
        check_origin(connection(method=method, **headers), method, keys=keys)
    except HTTPException as refused:
        return refused.status_code
    return 200


def test_other_sites_may_read_but_not_write_and_open_servers_have_one_name() -> None:
    own = {"host": "Shop.example:8000", "origin": "https://shop.example:8000"}
    other = {"host": "shop.example", "origin": "https://evil.example"}
    assert refusal("POST", keys=True, **own) == 200
    assert refusal("POST", keys=True, **other) == 403
    assert refusal("DELETE", keys=True, **other) == 403
    assert refusal("GET", keys=True, **other) == 200
    assert refusal("POST", keys=True, host="shop.example") == 200  # no browser, no origin
    assert refusal("GET", keys=False, host="127.0.0.1:8000") == 200
    assert refusal("GET", keys=False, host="rebound.example") == 403


def test_without_keys_everybody_is_administrator(clock: Clock) -> None:
    table = KeyTable()
    principal = asyncio.run(make_keys(table, keys=False).principal(connection("9.9.9.9")))
    assert principal == Principal("9.9.9.9", ROLES)
    assert table.reads == 0


def test_a_key_names_its_principal_and_without_one_there_is_none(clock: Clock) -> None:
    table = KeyTable()
    table.add("right", "read")
    keys = make_keys(table)
    assert asyncio.run(keys.principal(connection(x_api_key="right"))) == Principal(
        "right", frozenset({"read"})
    )
    for secret, words in (({}, "an API key is needed"), ({"x_api_key": "wrong"}, "unknown API key")):
        with pytest.raises(HTTPException, match=words) as refused:
            asyncio.run(keys.principal(connection(**secret)))
        assert refused.value.status_code == 401
        assert refused.value.headers == {"WWW-Authenticate": "Bearer"}


def test_a_known_key_is_looked_up_again_only_when_the_table_is_old(clock: Clock) -> None:
    table = KeyTable()
    table.add("right", "read")
    keys = make_keys(table)
    assert found(keys, "right") is not None
    clock.now += FRESH_SECONDS - 0.1
    assert found(keys, "right") is not None
    assert table.reads == 1
    del table.keys[digest("right")]
    clock.now += 0.1
    assert found(keys, "right") is None, "a removed key works no longer than the table is fresh"
    assert table.reads == 2


def test_a_new_key_works_soon_and_wrong_ones_do_not_hammer_the_store(clock: Clock) -> None:
    table = KeyTable()
    keys = make_keys(table)
    assert found(keys, "new") is None
    table.add("new", "read")
    clock.now += MISSED_SECONDS - 0.1
    assert found(keys, "new") is None
    assert table.reads == 1
    clock.now += 0.1
    assert found(keys, "new") is not None
    assert table.reads == 2


def test_wrong_keys_are_counted_by_address(clock: Clock) -> None:
    keys = make_keys(KeyTable(), requests_per_second=1.0, burst=2)

    def status(address: str) -> int:
        try:
            return 401 if asyncio.run(keys.find("wrong", address)) is None else 200
        except HTTPException as refused:
            return refused.status_code

    assert [status("a") for _ in range(3)] == [401, 401, 429]
    assert status("b") == 401


def test_known_keys_work_while_the_store_is_away_but_not_for_ever(clock: Clock) -> None:
    table = KeyTable()
    table.add("right", "read")
    keys = make_keys(table)
    assert found(keys, "right") is not None
    table.away = True
    clock.now += FRESH_SECONDS
    assert found(keys, "right") is not None
    assert table.reads == 2
    clock.now += FRESH_SECONDS - 0.1
    assert found(keys, "right") is not None
    assert table.reads == 2, "the store is not asked at every request while it is away"
    clock.now += 0.1
    assert found(keys, "right") is not None
    assert table.reads == 3
    with pytest.raises(StoreUnavailable):
        found(keys, "stranger")
    clock.now = 1000.0 + STALE_SECONDS
    with pytest.raises(StoreUnavailable):
        found(keys, "right")


def test_many_requests_share_one_look_into_the_store(clock: Clock) -> None:
    table = KeyTable()
    table.add("right", "read")
    keys = make_keys(table)

    async def together() -> list[ApiKey | None]:
        return list(await asyncio.gather(*(keys.find("right", "a") for _ in range(5))))

    assert all(key is not None for key in asyncio.run(together()))
    assert table.reads == 1


def test_a_slow_store_is_waited_for_half_a_second_by_known_keys_and_to_the_end_by_others(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "KNOWN_WAIT_SECONDS", 0.01)
    table = KeyTable()
    table.add("right", "read")
    keys = make_keys(table)
    assert found(keys, "right") is not None
    clock.now += FRESH_SECONDS
    table.gate = threading.Event()
    table.add("new", "read")

    async def both() -> tuple[ApiKey | None, bool, ApiKey | None]:
        known = await keys.find("right", "a")  # the store hangs, and the key is accepted without it
        assert table.gate is not None
        waiting = asyncio.ensure_future(keys.find("new", "a"))
        await asyncio.sleep(0.05)
        hung = not waiting.done()
        table.gate.set()
        return known, hung, await waiting

    known, hung, stranger = asyncio.run(both())
    assert known is not None
    assert hung
    assert stranger is not None
    assert table.reads == 2


def test_rates_forget_the_names_that_asked_longest_ago(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED", 2)
    rates = Rates(ServeSettings(requests_per_second=0.001, burst=1))
    for name in ("a", "b", "c"):
        rates.check(name)
    assert list(rates.buckets) == ["b", "c"]
    with pytest.raises(HTTPException):
        rates.check("b")
    assert list(rates.buckets) == ["c", "b"], "who asks now was heard last"
    rates.check("a")  # forgotten, so it has its burst again
    assert list(rates.buckets) == ["b", "a"]


def test_tokens_come_back_with_time_up_to_the_burst(clock: Clock) -> None:
    rates = Rates(ServeSettings(requests_per_second=2.0, burst=3))

    def status() -> int:
        try:
            rates.check("a")
        except HTTPException as refused:
            return refused.status_code if refused.headers == {"Retry-After": "1"} else 0
        return 200

    def taken() -> int:
        return [status() for _ in range(5)].index(429)

    assert taken() == 3
    clock.now += 0.5
    assert taken() == 1
    clock.now += 100
    assert taken() == 3
    assert Rates(ServeSettings(requests_per_second=0)).check("a") is None  # type: ignore[func-returns-value]
