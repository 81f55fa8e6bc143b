"""`Store`: what the service must remember: events, items, keys. SQLite without set-up, PostgreSQL by URL.

An event is acknowledged only after its transaction is on disk. All methods block; call them from a thread.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from unimp.core.errors import ConfigError, UnimpError
from unimp.serve.store.database import make_engine, migrate
from unimp.serve.store.tables import api_keys, events, forgotten, items

LATE_EVENTS = 256
"""Events at most that are committed after one with a higher number."""


class StoreUnavailable(UnimpError):
    """The store does not answer now; nothing was written, and trying again is right."""


class EventConflict(UnimpError):
    """An event id was used before for something else."""


@dataclass(frozen=True)
class StoredEvent:
    """A user met an item."""

    event_id: str
    """Chosen by the client; sent twice, it counts once."""
    user_id: str
    item_id: str
    time: int
    """UTC seconds."""
    rating: float | None = None
    """In the data's scale; None when the user gave none."""
    kind: str = "view"

    @property
    def content(self) -> tuple[object, ...]:
        """What must agree when the id comes again; the time may differ, it is often the sending time."""
        return self.user_id, self.item_id, self.rating, self.kind


@dataclass(frozen=True)
class Added:
    """What became of a batch of events."""

    accepted: int
    duplicates: int


@dataclass(frozen=True)
class UserLog:
    """What the store knows of a user: events in time order, ties in order of arrival."""

    events: tuple[StoredEvent, ...]
    forgotten: bool
    """The user asked to be forgotten: what the data folder says about them must not be used either."""


@dataclass(frozen=True)
class StoredItem:
    """An item as it was last upserted."""

    item_id: str
    attributes: dict[str, str]
    has_picture: bool
    version: str = ""
    """Another one after every upsert."""


@dataclass(frozen=True)
class News:
    """What other servers, or this one, wrote of late."""

    sequence: int
    """Of the latest event."""
    users: frozenset[str]
    """Whose events arrived."""
    forgotten: frozenset[str]
    """Hashes of users that were forgotten; see `digest`."""
    versions: dict[str, str]
    """item_id -> version of items that were upserted."""


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret."""

    name: str
    roles: frozenset[str]


class Store:
    """Opened with `Store.open(url)`, which also brings the tables up to date."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._insert: Any = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    @classmethod
    def open(cls, url: str) -> Store:
        """ConfigError for a URL of another kind; StoreUnavailable when the database does not answer."""
        store = cls(make_engine(url))
        with store._connection() as connection:
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
        rows = [vars(event) for event in distinct.values()]
        insert = self._insert(events).on_conflict_do_nothing(index_elements=["event_id"])
        with self._connection() as connection:
            written = set(connection.scalars(insert.values(rows).returning(events.c.event_id)))
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

    def user_log(self, user_id: str, limit: int | None = None) -> UserLog:
        """The user's events (the latest `limit`), oldest first."""
        latest = sa.select(events).where(events.c.user_id == user_id)
        latest = latest.order_by(events.c.time.desc(), events.c.sequence.desc()).limit(limit)
        with self._connection() as connection:
            rows = [to_event(row) for row in connection.execute(latest)]
            mark = sa.select(forgotten.c.user_hash).where(forgotten.c.user_hash == digest(user_id))
            gone = connection.execute(mark).first() is not None
        return UserLog(tuple(reversed(rows)), gone)

    def forget(self, user_id: str) -> int:
        """Delete the user's events, and remember, by a hash alone, not to use the data's; how many."""
        mark = self._insert(forgotten).values(user_hash=digest(user_id), time=int(time.time()))
        with self._connection() as connection:
            deleted = connection.execute(sa.delete(events).where(events.c.user_id == user_id)).rowcount
            again = {"time": mark.excluded.time}
            connection.execute(mark.on_conflict_do_update(index_elements=["user_hash"], set_=again))
        return int(deleted)

    def last_sequence(self) -> int:
        """Of the latest event; 0 before the first."""
        with self._connection() as connection:
            return int(connection.scalar(sa.select(sa.func.max(events.c.sequence))) or 0)

    def news(self, sequence: int, since: int) -> News:
        """Events after `sequence`, forgetting and upserts from `since` (UTC seconds) on."""
        # PostgreSQL may show a lower number after a higher one: it looks back a little.
        first = sequence if self.engine.dialect.name == "sqlite" else sequence - LATE_EVENTS
        arrived = sa.select(events.c.sequence, events.c.user_id).where(events.c.sequence > first)
        gone = sa.select(forgotten.c.user_hash).where(forgotten.c.time >= since)
        put = sa.select(items.c.item_id, items.c.version).where(items.c.updated >= since)
        with self._connection() as connection:
            rows = connection.execute(arrived).all()
            hashes = frozenset(connection.scalars(gone))
            versions = {row.item_id: row.version for row in connection.execute(put)}
        latest = max((row.sequence for row in rows), default=sequence)
        return News(latest, frozenset(row.user_id for row in rows), hashes, versions)

    def latest_users(self, limit: int) -> tuple[str, ...]:
        """Users by their latest event, latest first."""
        last = sa.func.max(events.c.sequence)
        query = sa.select(events.c.user_id).group_by(events.c.user_id).order_by(last.desc()).limit(limit)
        with self._connection() as connection:
            return tuple(connection.scalars(query))

    def put_item(self, item_id: str, attributes: dict[str, str], picture: bytes | None) -> str:
        """Insert or replace; a picture that was there stays when none is given. The item's new version."""
        version = uuid.uuid4().hex
        values: dict[str, Any] = {"attributes": attributes, "updated": int(time.time()), "version": version}
        if picture is not None:
            values["picture"] = picture
        insert = self._insert(items).values(item_id=item_id, **values)
        with self._connection() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["item_id"], set_=values))
        return version

    def items(self, item_ids: Iterable[str]) -> dict[str, StoredItem]:
        """Those of `item_ids` that were upserted."""
        picture = items.c.picture.is_not(None).label("has_picture")
        columns = items.c.item_id, items.c.attributes, picture, items.c.version
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


def to_event(row: sa.Row[Any]) -> StoredEvent:
    return StoredEvent(row.event_id, row.user_id, row.item_id, row.time, row.rating, row.kind)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
