"""One contract for both databases."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.postgresql import PostgreSQL
from unimp.core.errors import ConfigError
from unimp.serve.store.changes import KEPT_SECONDS, log_changes
from unimp.serve.store.records import WHEN_STORED, StoredEvent, StoredItem
from unimp.serve.store.store import EventConflict, Store, StoreUnavailable, digest
from unimp.serve.store.tables import changes, metadata, retired_events

OpenStore = Callable[[], Store]


def event(number: int, user: str = "ann", time: int = 100, **more: object) -> StoredEvent:
    return StoredEvent(f"e{number}", user, f"i{number}", time, **more)  # type: ignore[arg-type]


def test_events_come_back_in_time_order_after_a_restart(open_store: OpenStore) -> None:
    store = open_store()
    store.add_events([event(1, time=300), event(2, time=100, rating=4.5, kind="buy")])
    store.add_events([event(3, time=100), event(4, user="bob")])
    store.close()
    log = open_store().user_log("ann")
    assert [one.event_id for one in log.events] == ["e2", "e3", "e1"]
    assert log.events[0] == event(2, time=100, rating=4.5, kind="buy")
    assert [one.event_id for one in open_store().user_log("ann", limit=2).events] == ["e3", "e1"]
    assert open_store().latest_users(5) == ("bob", "ann")


def test_an_event_counts_once(open_store: OpenStore) -> None:
    store = open_store()
    first = store.add_events([event(1), event(1)])
    again = store.add_events([event(1, time=999), event(2)])
    assert (first.accepted, first.duplicates, again.accepted, again.duplicates) == (1, 1, 1, 1)
    assert [one.time for one in store.user_log("ann").events] == [100, 100]


def test_an_id_never_means_two_things_and_the_batch_is_refused_whole(open_store: OpenStore) -> None:
    store = open_store()
    store.add_events([event(1)])
    with pytest.raises(EventConflict, match='event "e1"'):
        store.add_events([event(2), event(1, user="bob")])
    with pytest.raises(EventConflict, match="twice in one batch"):
        store.add_events([event(3), event(3, kind="buy")])
    assert [one.event_id for one in store.user_log("ann").events] == ["e1"]
    assert store.user_log("bob").events == ()


def test_events_written_at_once_are_all_there(open_store: OpenStore) -> None:
    store = open_store()
    accepted: list[int] = []

    def write(writer: int) -> None:
        for number in range(20):
            shared = event(number, user="all")  # every writer sends it
            own = event(1000 * writer + number + 100, user=f"w{writer}")
            accepted.append(store.add_events([shared, own]).accepted)

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(1, 5)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert sum(accepted) == 20 + 4 * 20
    assert len(store.user_log("all").events) == 20
    assert all(len(store.user_log(f"w{writer}").events) == 20 for writer in range(1, 5))


def test_a_forgotten_user_leaves_a_hash_only(open_store: OpenStore) -> None:
    store = open_store()
    store.add_events([event(1), event(2), event(3, user="bob")])
    assert store.forget("ann") == 2
    assert store.user_log("ann").events == ()
    assert store.user_log("ann").forgotten
    assert not store.user_log("bob").forgotten
    assert store.forget("ann") == 0
    store.add_events([event(4)])
    assert [one.event_id for one in store.user_log("ann").events] == ["e4"]
    assert store.user_log("ann").forgotten


def test_an_item_keeps_its_picture_until_another_is_given(open_store: OpenStore) -> None:
    store = open_store()
    assert store.items(["x"]) == {}
    store.put_item("x", {"title": "Ünïcode <b>"}, b"\x00\xff")
    before = store.items(["x"])["x"].version
    version = store.put_item("x", {"title": "new"}, None)
    assert version != before
    assert store.items(["x", "y"]) == {"x": StoredItem("x", {"title": "new"}, True, version)}
    assert (store.picture("x"), store.picture("y")) == (b"\x00\xff", None)


def test_changes_are_what_was_written_since(open_store: OpenStore) -> None:
    store, other = open_store(), open_store()
    start = store.cursor()
    nothing = store.changes(start)
    assert (nothing.users, nothing.forgotten, nothing.items) == (frozenset(),) * 3
    other.add_events([event(1), event(2, "bob")])
    version = other.put_item("x", {}, None)
    other.forget("cid")
    found = store.changes(start)
    assert (found.users, found.forgotten, found.items) == ({"ann", "bob"}, {digest("cid")}, {"x"})
    assert store.item_versions(found.items) == store.item_versions() == {"x": version}
    later = store.changes(found.cursor)
    assert (later.users, later.forgotten, later.items) == (frozenset(),) * 3
    other.add_events([event(3, "dan"), event(1)])
    assert store.changes(later.cursor).users == {"dan"}
    assert later.complete


def test_numbers_are_not_used_again_after_forgetting(open_store: OpenStore) -> None:
    """A server that has read up to the last number sees what comes after the last rows were deleted."""
    store, other = open_store(), open_store()
    other.add_events([event(1), event(2)])
    cursor = store.changes(store.cursor()).cursor
    other.forget("ann")
    other.add_events([event(3, "bob")])
    assert store.changes(cursor).users == {"bob"}


def test_what_is_committed_late_is_read(open_store: OpenStore) -> None:
    """A transaction that began before another and ends after it; SQLite makes the other one wait."""
    store, other = open_store(), open_store()
    if store.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    cursor = store.cursor()
    with other.engine.begin() as slow:
        log_changes(slow, "user", ["slow"])
        store.add_events([event(1, "quick")])
        first = store.changes(cursor)
        assert first.users == {"quick"}
        assert store.changes(first.cursor).users == frozenset()  # once is enough
    second = store.changes(first.cursor)
    assert second.users == {"slow"}
    assert store.changes(second.cursor).users == frozenset()


def test_the_servers_clock_does_not_count(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = open_store(), open_store()
    cursor = store.cursor()
    for hours, user in ((-48, "early"), (48, "late")):
        now = time.time() + 3600 * hours
        monkeypatch.setattr(time, "time", lambda now=now: now)
        other.add_events([event(len(user), user)])
        other.forget(f"{user}, too")
        other.put_item(user, {}, None)
    found = store.changes(cursor)
    assert found.users == found.items == {"early", "late"}
    assert found.forgotten == {digest("early, too"), digest("late, too")}
    assert found.complete


def test_events_without_a_time_are_ordered_by_the_databases_clock(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, before = open_store(), int(time.time())
    for number, hours in ((1, 48), (2, -48)):
        monkeypatch.setattr(time, "time", lambda hours=hours: before + 3600 * hours)
        store.add_events([replace(event(number), time=WHEN_STORED)])
    found = store.user_log("ann").events
    assert [one.event_id for one in found] == [event(1).event_id, event(2).event_id]
    assert all(before - 60 <= one.time <= before + 600 for one in found)


def test_who_has_not_read_for_long_is_told(open_store: OpenStore) -> None:
    store = open_store()
    cursor = store.cursor()
    store.add_events([event(1)])
    store.prune()
    assert store.changes(cursor).users == {"ann"}
    with store.engine.begin() as connection:
        connection.execute(sa.update(changes).values(time=changes.c.time - KEPT_SECONDS - 5))
    store.prune()
    found = store.changes(replace(cursor, time=cursor.time - KEPT_SECONDS - 5))
    assert (found.users, found.complete) == (frozenset(), False)


def test_a_forgotten_event_that_is_sent_again_is_not_stored(open_store: OpenStore) -> None:
    store = open_store()
    store.add_events([event(1), event(2)])
    store.forget("ann")
    added = store.add_events([event(1), event(3)])
    assert (added.accepted, added.duplicates) == (1, 1)
    assert [one.event_id for one in store.user_log("ann").events] == ["e3"]
    with store.engine.begin() as connection:
        connection.execute(sa.update(retired_events).values(time=0))
    store.prune()
    assert store.add_events([event(2)]).accepted == 0  # however late it comes
    assert store.forgotten_among(["ann", "bob"]) == {"ann"}


def test_a_reader_holds_the_log_with_a_forgotten_id_back_for_a_while_only(tmp_path: Path) -> None:
    store, reader = (Store.open(f"sqlite:///{tmp_path / 'store.db'}") for _ in range(2))
    user = "somebody to be forgotten"

    def stands_somewhere() -> bool:
        return any(user.encode() in file.read_bytes() for file in tmp_path.iterdir())

    store.add_events([event(1, user)])
    with reader.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.execute(sa.select(changes)).all()
        assert store.forget(user) == 1
        assert store.log_holds_forgotten
        assert stands_somewhere()
    assert store.empty_write_ahead_log()
    assert not store.log_holds_forgotten
    assert not stands_somewhere()
    for opened in (store, reader):
        opened.close()


def test_the_id_of_a_forgotten_user_stands_in_no_file(tmp_path: Path) -> None:
    store, reader = (Store.open(f"sqlite:///{tmp_path / 'store.db'}") for _ in range(2))
    user = "somebody to be forgotten"
    for number in range(100):
        store.add_events([event(number, user)])
    reader.user_log(user)
    assert any(user.encode() in file.read_bytes() for file in tmp_path.iterdir())
    assert store.forget(user) == 100
    assert not any(user.encode() in file.read_bytes() for file in tmp_path.iterdir())
    for opened in (store, reader):
        opened.close()


def test_a_removed_item_is_marked_and_can_come_back(open_store: OpenStore) -> None:
    store = open_store()
    first = store.put_item("x", {"title": "a"}, b"png")
    cursor = store.cursor()
    second = store.remove_item("x")
    assert store.items(["x"]) == {"x": StoredItem("x", {}, False, second, removed=True)}
    assert store.picture("x") is None
    assert store.changes(cursor).items == {"x"}
    third = store.put_item("x", {"title": "b"}, None)
    assert len({first, second, third}) == 3
    assert not store.items(["x"])["x"].removed


def test_keys_are_kept_as_hashes(open_store: OpenStore, store_url: str) -> None:
    store = open_store()
    store.add_key("a long secret", "shop", frozenset({"read", "write-events"}))
    with pytest.raises(ConfigError, match='key "shop": exists already'):
        store.add_key("another", "shop", frozenset({"read"}))
    key = store.key("a long secret")
    assert key is not None
    assert key.roles == {"read", "write-events"}
    assert store.key("a long secreT") is None
    assert [one.name for one in store.all_keys()] == ["shop"]
    if store_url.startswith("sqlite"):
        store.close()
        assert b"a long secret" not in Path(store_url.removeprefix("sqlite:///")).read_bytes()
    assert store.remove_key("shop")
    assert store.key("a long secret") is None


def test_the_migrations_make_the_tables_that_the_code_uses(open_store: OpenStore) -> None:
    with open_store().engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_an_acknowledged_event_survives_a_kill(open_store: OpenStore, store_url: str) -> None:
    store = open_store()
    program = f"""
from unimp.serve.store.store import StoredEvent, Store
store = Store.open({store_url!r})
for number in range(100_000):
    store.add_events([StoredEvent(f"k{{number}}", "ann", "i", number)])
    print(number, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline().strip() for _ in range(30)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += writer.stdout.read().split()
    there = {one.event_id for one in store.user_log("ann").events}
    assert {f"k{number}" for number in acknowledged} <= there


def test_a_stopped_postgresql_is_unavailable_and_recovers(postgresql: PostgreSQL) -> None:
    store = Store.open(postgresql.url)
    store.ping()
    postgresql.stop()
    try:
        with pytest.raises(StoreUnavailable, match="store: not available"):
            store.ping()
    finally:
        postgresql.start()
    store.add_events([StoredEvent(f"after {time.time()}", "ann", "i", 1)])
    store.close()


def test_a_locked_or_full_sqlite_is_unavailable_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unimp.serve.store.database.WAIT_SECONDS", 0.1)
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    with store.engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.add_events([event(1)])
    with store.engine.connect() as other:
        pages = other.exec_driver_sql("PRAGMA page_count").scalar_one()
    for connection in [store.engine.raw_connection() for _ in range(2)]:
        connection.cursor().execute(f"PRAGMA max_page_count={pages}")  # as a full disk
        connection.close()
    with pytest.raises(StoreUnavailable, match="full"):
        store.add_events([event(number, user="x" * 100) for number in range(500)])
    assert store.user_log("x" * 100).events == ()
    store.engine.dispose()
    assert store.add_events([event(1)]).accepted == 1
    store.close()


def test_a_deleted_file_is_noticed(tmp_path: Path) -> None:
    """Its connections would go on writing to a file that has no name any more."""
    file, aside = tmp_path / "store.db", tmp_path / "aside.db"
    store = Store.open(f"sqlite:///{file}")
    store.add_events([event(1)])
    file.rename(aside)
    with pytest.raises(StoreUnavailable, match="deleted, moved or replaced"):
        store.add_events([event(2)])
    file.write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="deleted, moved or replaced"):
        store.ping()
    aside.replace(file)
    store.add_events([event(3)])
    assert {one.event_id for one in store.user_log("ann").events} == {event(1).event_id, event(3).event_id}
    store.close()


def test_what_is_written_while_the_file_is_deleted_is_not_acknowledged(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    store = Store.open(f"sqlite:///{file}")

    @sa.event.listens_for(store.engine, "commit")
    def delete(_: object) -> None:
        file.unlink()

    with pytest.raises(StoreUnavailable, match="deleted, moved or replaced"):
        store.add_events([event(1)])
    store.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://x", "mysql is not known"),
        ("sqlite://", "in memory would lose events"),
        ("sqlite:////no/such/folder/store.db", "its folder does not exist"),
    ],
)
def test_a_wrong_url_is_one_line(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Store.open(url)


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("these are my notes, " * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        Store.open(f"sqlite:///{tmp_path / 'store.db'}")


def test_a_dead_server_says_so_without_the_password() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        Store.open("postgresql+psycopg://someone:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)
