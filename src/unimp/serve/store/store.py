"""`Store`: what the service must remember: events, items, keys. SQLite without set-up, PostgreSQL by URL.

An event is acknowledged only after its transaction is on disk. All methods block; call them from a thread.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from unimp.core.errors import ConfigError, UnimpError
from unimp.serve.store.changes import (
    FORGOTTEN,
    ITEM,
    USER,
    ChangeCursor,
    StoreChanges,
    current_cursor,
    database_time,
    log_changes,
    prune_changes,
    read_changes,
)
from unimp.serve.store.database import WAIT_SECONDS, file_identity, make_engine, migrate
from unimp.serve.store.records import WHEN_STORED, Added, ApiKey, MetItem, StoredEvent, StoredItem, UserLog
from unimp.serve.store.tables import api_keys, changes, events, forgotten, items, retired_events

ROWS_AT_ONCE = 500
"""Rows of one INSERT: SQLite bounds the parameters of a statement."""
RECENT_EVENTS = 1000
"""Latest events among which the latest users are sought."""
TRUNCATE_MILLISECONDS = 200
"""How long others who read are waited for before SQLite's write-ahead log is emptied."""


class StoreUnavailable(UnimpError):
    """The store does not answer now; nothing was written, and trying again is right."""


class EventConflict(UnimpError):
    """An event id was used before for something else."""


class Store:
    """Opened with `Store.open(url)`, which also brings the tables up to date."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.file = file_identity(engine)
        self.log_holds_forgotten = False
        """SQLite: a reader held the write-ahead log back when somebody was forgotten."""
        self._insert: Any = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Store:
        """ConfigError for a URL of another kind, or, without `create`, when there is no store yet;
        StoreUnavailable when the database does not answer."""
        store = cls(make_engine(url, create=create))
        with store._connection() as connection:
            if not create and not sa.inspect(connection).has_table(events.name):
                name = store.engine.url.render_as_string()  # without its password
                raise ConfigError(f"--store: {name}: holds no store yet; check the name")
            migrate(connection)
        return store

    def close(self) -> None:
        self.engine.dispose()

    def ping(self) -> None:
        """StoreUnavailable unless the store answers."""
        with self._connection() as connection:
            connection.execute(sa.select(sa.literal(1)))

    def add_events(self, new: Sequence[StoredEvent]) -> Added:
        """All or none, on disk when this returns; EventConflict when an id meant something else before."""
        distinct: dict[str, StoredEvent] = {}
        for event in new:
            if distinct.setdefault(event.event_id, event).content != event.content:
                raise EventConflict(f'event "{event.event_id}": twice in one batch, with different content')
        insert = self._insert(events).on_conflict_do_nothing(index_elements=["event_id"])
        with self._connection() as connection:
            now = connection.scalar(sa.select(database_time(connection)))
            rows = [
                vars(event) | ({"time": now} if event.time == WHEN_STORED else {})
                for event in distinct.values()
            ]
            written = set(connection.scalars(insert.values(rows).returning(events.c.event_id)))
            # only now: a user who is being forgotten at this moment is forgotten, or waits for this commit
            for event_id in self._retired(connection, written):
                connection.execute(sa.delete(events).where(events.c.event_id == event_id))
                written.discard(event_id)
                del distinct[event_id]
            log_changes(connection, USER, (distinct[event_id].user_id for event_id in written))
            known = [event for event in distinct.values() if event.event_id not in written]
            if known:
                ids = [event.event_id for event in known]
                found = connection.execute(sa.select(events).where(events.c.event_id.in_(ids)))
                before = {event.event_id: event for event in map(to_event, found)}
                for event in known:
                    if before[event.event_id].content != event.content:
                        raise EventConflict(
                            f'event "{event.event_id}": was sent before with other content; use a new id'
                        )
        return Added(len(written), len(new) - len(written))

    def _retired(self, connection: Connection, event_ids: Iterable[str]) -> list[str]:
        """Those of the ids whose events were forgotten: sent again, they are not stored."""
        names = {digest(event_id): event_id for event_id in event_ids}
        query = sa.select(retired_events.c.event_hash).where(retired_events.c.event_hash.in_(names))
        return [names[name] for name in connection.scalars(query)]

    def user_log(self, user_id: str, limit: int | None = None) -> UserLog:
        """The user's events (the latest `limit`), oldest first, and the items of those before."""
        latest = sa.select(events).where(events.c.user_id == user_id)
        latest = latest.order_by(events.c.time.desc(), events.c.sequence.desc()).limit(limit)
        with self._connection() as connection:
            rows = [to_event(row) for row in connection.execute(latest)]
            mark = sa.select(forgotten.c.user_hash).where(forgotten.c.user_hash == digest(user_id))
            gone = connection.execute(mark).first() is not None
            earlier = self._earlier_items(connection, user_id, rows) if len(rows) == limit else ()
        return UserLog(tuple(reversed(rows)), gone, earlier=earlier)

    def _earlier_items(
        self, connection: Connection, user_id: str, latest: Sequence[StoredEvent]
    ) -> tuple[MetItem, ...]:
        """Items of the user's events, without those of the latest ones, in the order of their last times."""
        time = sa.func.max(events.c.time).label("time")
        query = sa.select(events.c.item_id, time).where(events.c.user_id == user_id)
        query = query.group_by(events.c.item_id).order_by(time, events.c.item_id)
        known = {event.item_id for event in latest}
        rows = connection.execute(query)
        return tuple(MetItem(row.item_id, row.time) for row in rows if row.item_id not in known)

    def forget(self, user_id: str) -> int:
        """Delete the user's events, and remember, by hashes alone, not to use the data's; how many events.

        SQLite's write-ahead log is emptied: the id stands nowhere in the store's files afterwards. While a
        reader holds it back `log_holds_forgotten` says so, and `empty_write_ahead_log` must be tried again.
        """
        mark = self._insert(forgotten).values(user_hash=digest(user_id), time=int(time.time()))
        with self._connection() as connection:
            gone = sa.delete(events).where(events.c.user_id == user_id).returning(events.c.event_id)
            deleted = list(connection.scalars(gone))
            now = database_time(connection)
            retired = [{"event_hash": digest(event_id), "time": now} for event_id in deleted]
            for start in range(0, len(retired), ROWS_AT_ONCE):
                put = self._insert(retired_events).values(retired[start : start + ROWS_AT_ONCE])
                connection.execute(put.on_conflict_do_nothing(index_elements=["event_hash"]))
            again = {"time": mark.excluded.time}
            connection.execute(mark.on_conflict_do_update(index_elements=["user_hash"], set_=again))
            by_user = (changes.c.subject == user_id) & (changes.c.kind == USER)
            connection.execute(sa.delete(changes).where(by_user))
            log_changes(connection, FORGOTTEN, [digest(user_id)])
        self.empty_write_ahead_log()
        return len(deleted)

    def empty_write_ahead_log(self) -> bool:
        """Write SQLite's log into its file and truncate it; False while readers hold it back."""
        if self.engine.dialect.name != "sqlite":
            return True
        self.log_holds_forgotten = True
        with self._connection() as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={TRUNCATE_MILLISECONDS}")
            try:
                busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={1000 * WAIT_SECONDS}")
        self.log_holds_forgotten = bool(busy)
        return not busy

    def forgotten_among(self, user_ids: Sequence[str]) -> set[str]:
        """Those of the users that were forgotten."""
        names = {digest(user_id): user_id for user_id in user_ids}
        query = sa.select(forgotten.c.user_hash).where(forgotten.c.user_hash.in_(names))
        with self._connection() as connection:
            return {names[name] for name in connection.scalars(query)}

    def cursor(self) -> ChangeCursor:
        """Where the log of changes ends now."""
        with self._connection() as connection:
            return current_cursor(connection)

    def changes(self, cursor: ChangeCursor) -> StoreChanges:
        """What this and other servers wrote since the cursor."""
        with self._connection() as connection:
            return read_changes(connection, cursor)

    def prune(self) -> None:
        """Delete changes that every server has read long ago."""
        with self._connection() as connection:
            prune_changes(connection)

    def latest_users(self, limit: int) -> tuple[str, ...]:
        """Users among the latest RECENT_EVENTS events, latest first."""
        query = sa.select(events.c.user_id).order_by(events.c.sequence.desc()).limit(RECENT_EVENTS)
        with self._connection() as connection:
            return tuple(dict.fromkeys(connection.scalars(query)))[:limit]

    def item_versions(self, item_ids: Iterable[str] | None = None) -> dict[str, str]:
        """Item id -> version, of these items or of all that were upserted or removed."""
        query = sa.select(items.c.item_id, items.c.version)
        if item_ids is not None:
            query = query.where(items.c.item_id.in_(list(item_ids)))
        with self._connection() as connection:
            return {row.item_id: row.version for row in connection.execute(query)}

    def put_item(self, item_id: str, attributes: dict[str, str], picture: bytes | None) -> str:
        """Insert or replace; a picture that was there stays when none is given. The item's new version."""
        version = uuid.uuid4().hex
        values: dict[str, Any] = {"attributes": attributes, "updated": int(time.time()), "version": version}
        values["removed"] = False
        if picture is not None:
            values["picture"] = picture
        self._write_item(item_id, values)
        return version

    def remove_item(self, item_id: str) -> str:
        """Mark the item, and delete its content; the item's new version. It may be one of the data."""
        version = uuid.uuid4().hex
        emptied: dict[str, Any] = {"attributes": {}, "picture": None, "removed": True}
        self._write_item(item_id, emptied | {"updated": int(time.time()), "version": version})
        return version

    def _write_item(self, item_id: str, values: dict[str, Any]) -> None:
        insert = self._insert(items).values(item_id=item_id, **values)
        with self._connection() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["item_id"], set_=values))
            log_changes(connection, ITEM, [item_id])

    def items(self, item_ids: Iterable[str]) -> dict[str, StoredItem]:
        """Those of `item_ids` that were upserted or removed."""
        picture = items.c.picture.is_not(None).label("has_picture")
        columns = items.c.item_id, items.c.attributes, picture, items.c.version, items.c.removed
        query = sa.select(*columns).where(items.c.item_id.in_(list(item_ids)))
        with self._connection() as connection:
            return {row.item_id: StoredItem(**row._mapping) for row in connection.execute(query)}

    def picture(self, item_id: str) -> bytes | None:
        """The upserted picture's file."""
        query = sa.select(items.c.picture).where(items.c.item_id == item_id)
        with self._connection() as connection:
            found: bytes | None = connection.scalar(query)
        return found

    def add_key(self, secret: str, name: str, roles: frozenset[str]) -> None:
        """Keep the key's hash; ConfigError when the name is taken."""
        row = {"key_hash": digest(secret), "name": name, "roles": " ".join(sorted(roles))}
        with self._connection() as connection:
            if connection.execute(sa.select(api_keys).where(api_keys.c.name == name)).first():
                raise ConfigError(f'key "{name}": exists already; remove it first, or choose another name')
            connection.execute(sa.insert(api_keys).values(row | {"created": int(time.time())}))

    def remove_key(self, name: str) -> bool:
        with self._connection() as connection:
            return connection.execute(sa.delete(api_keys).where(api_keys.c.name == name)).rowcount > 0

    def key(self, secret: str) -> ApiKey | None:
        """The key that `secret` is, or None. Looked up by hash: the time taken tells nothing of use."""
        query = sa.select(api_keys).where(api_keys.c.key_hash == digest(secret))
        with self._connection() as connection:
            row = connection.execute(query).first()
        return None if row is None else ApiKey(row.name, frozenset(row.roles.split()))

    def keys_by_digest(self) -> dict[str, ApiKey]:
        """Every key, by the digest of its secret."""
        with self._connection() as connection:
            rows = connection.execute(sa.select(api_keys)).all()
        return {row.key_hash: ApiKey(row.name, frozenset(row.roles.split())) for row in rows}

    def all_keys(self) -> list[ApiKey]:
        with self._connection() as connection:
            rows = connection.execute(sa.select(api_keys).order_by(api_keys.c.name)).all()
        return [ApiKey(row.name, frozenset(row.roles.split())) for row in rows]

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back on any error."""
        self._check_file()
        try:
            with self.engine.begin() as connection:
                yield connection
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError) as error:
            reason = str(error.orig).strip().splitlines()[0] if error.orig else "no answer"
            raise StoreUnavailable(f"store: not available ({reason}); try again in a moment") from None
        except sa.exc.DatabaseError as error:
            if type(error) is not sa.exc.DatabaseError:  # its subclasses are our mistakes
                raise
            raise StoreUnavailable(f"store: damaged, or not a database ({error.orig})") from None
        except sa.exc.TimeoutError:
            raise StoreUnavailable("store: every connection is busy; try again in a moment") from None
        self._check_file()  # again: what was written to a file without a name is lost

    def _check_file(self) -> None:
        """StoreUnavailable when SQLite's file was deleted or replaced: its connections would not notice."""
        if self.file is not None and file_identity(self.engine) != self.file:
            raise StoreUnavailable(
                "store: its file was deleted, moved or replaced; put it back, or start the server again"
            )


def to_event(row: sa.Row[Any]) -> StoredEvent:
    return StoredEvent(row.event_id, row.user_id, row.item_id, row.time, row.rating, row.kind)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
