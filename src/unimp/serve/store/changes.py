"""The log of changes: what one server writes, the others on the same store read, in order, none left out.

The order is the database's own. No server's clock counts, and no commit is missed:

- SQLite has one writer at a time, so the numbers of `changes.sequence` grow in the order of the commits.
- PostgreSQL numbers rows before they are committed, so a lower number may appear after a higher one. Rows
  therefore carry the number of their transaction. All transactions below the oldest that still runs are
  finished; the cursor moves only so far, and remembers which rows beyond it were read already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from unimp.serve.store.tables import changes

KEPT_SECONDS = 86_400
"""How long a change is kept: a server that read none for longer forgets all that it has cached."""

USER, FORGOTTEN, ITEM = "user", "forgotten", "item"
"""Kinds of changes: events of a user (its id), a forgotten user (its hash), an item (its id)."""


@dataclass(frozen=True)
class ChangeCursor:
    """How far a server has read the log."""

    position: int
    """SQLite: the last sequence read. PostgreSQL: all transactions below this one have been read."""
    beyond: frozenset[int] = frozenset()
    """Sequences that were read of later transactions."""
    time: int = 0
    """When it was read, by the database's clock."""


@dataclass(frozen=True)
class StoreChanges:
    """What was written since a cursor."""

    cursor: ChangeCursor
    """For the next read."""
    users: frozenset[str]
    """Whose events arrived."""
    forgotten: frozenset[str]
    """Hashes of users that were forgotten; see `digest`."""
    items: frozenset[str]
    """Ids of the items that were upserted or removed."""
    complete: bool = True
    """False: changes were deleted before they were read; whatever is cached may be out of date."""


def log_changes(connection: Connection, kind: str, subjects: Iterable[str]) -> None:
    """Append to the log, in the transaction of the change itself."""
    values = {"transaction": own_transaction(connection), "time": database_time(connection)}
    rows = [{"kind": kind, "subject": subject, **values} for subject in sorted(set(subjects))]
    if rows:
        connection.execute(sa.insert(changes).values(rows))


def current_cursor(connection: Connection) -> ChangeCursor:
    """Where the log ends now."""
    now = int(connection.scalar(sa.select(database_time(connection))) or 0)
    if is_sqlite(connection):
        return ChangeCursor(int(connection.scalar(sa.select(sa.func.max(changes.c.sequence))) or 0), time=now)
    return ChangeCursor(oldest_running(connection), time=now)


def read_changes(connection: Connection, cursor: ChangeCursor) -> StoreChanges:
    """All that was committed since the cursor."""
    now = int(connection.scalar(sa.select(database_time(connection))) or 0)
    if is_sqlite(connection):
        rows = connection.execute(sa.select(changes).where(changes.c.sequence > cursor.position)).all()
        position = max((row.sequence for row in rows), default=cursor.position)
        beyond: frozenset[int] = frozenset()
    else:
        # first: what is committed between the two statements is read again, rather than never
        position = oldest_running(connection)
        since = sa.select(changes).where(changes.c.transaction >= cursor.position)
        found = connection.execute(since).all()
        rows = [row for row in found if row.sequence not in cursor.beyond]
        beyond = frozenset(row.sequence for row in found if row.transaction >= position)

    def subjects(kind: str) -> frozenset[str]:
        return frozenset(row.subject for row in rows if row.kind == kind)

    complete = now - cursor.time < KEPT_SECONDS
    following = ChangeCursor(position, beyond, now)
    return StoreChanges(following, subjects(USER), subjects(FORGOTTEN), subjects(ITEM), complete)


def prune_changes(connection: Connection) -> None:
    """Delete what is older than KEPT_SECONDS."""
    limit = int(connection.scalar(sa.select(database_time(connection))) or 0) - KEPT_SECONDS
    connection.execute(sa.delete(changes).where(changes.c.time < limit))


def is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def database_time(connection: Connection) -> sa.ColumnElement[int]:
    """UTC seconds by the clock of the database."""
    if is_sqlite(connection):
        return sa.cast(sa.func.strftime("%s", "now"), sa.Integer)
    return sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.BigInteger)


def own_transaction(connection: Connection) -> Any:
    """The number of the transaction that writes."""
    return 0 if is_sqlite(connection) else as_number(sa.func.pg_current_xact_id())


def oldest_running(connection: Connection) -> int:
    """PostgreSQL: every transaction with a lower number has ended."""
    query = sa.select(as_number(sa.func.pg_snapshot_xmin(sa.func.pg_current_snapshot())))
    return int(connection.scalar(query) or 0)


def as_number(transaction: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """PostgreSQL casts its transaction numbers to text alone."""
    return sa.cast(sa.cast(transaction, sa.Text), sa.BigInteger)
