"""The store's tables. A change here needs a new revision in `migrations/versions`; a test compares them."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

events = sa.Table(
    "events",
    metadata,
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("event_id", sa.String(128), nullable=False, unique=True),
    sa.Column("user_id", sa.String(128), nullable=False),
    sa.Column("item_id", sa.String(128), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("rating", sa.Float(53)),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Index("events_of_user", "user_id", "time", "sequence"),
)
"""Order of arrival in `sequence`; `time` in UTC seconds."""

forgotten = sa.Table(
    "forgotten",
    metadata,
    sa.Column("user_hash", sa.String(64), primary_key=True),
    sa.Column("time", sa.BigInteger, nullable=False),
)
"""SHA-256 of users whose part of the data folder must not be used."""

items = sa.Table(
    "items",
    metadata,
    sa.Column("item_id", sa.String(128), primary_key=True),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Column("picture", sa.LargeBinary),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("version", sa.String(32), nullable=False, server_default=""),
    sa.Column("removed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("items_by_update", "updated"),
)
"""Every upsert or removal gives its item a `version` of its own; `updated` in UTC seconds."""

changes = sa.Table(
    "changes",
    metadata,
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("transaction", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("subject", sa.String(128), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Index("changes_by_transaction", "transaction"),
    sa.Index("changes_by_time", "time"),
    sa.Index("changes_by_subject", "subject"),
    sqlite_autoincrement=True,  # a number is never used again, whatever is deleted
)
"""What the servers on one store tell each other, see `changes.py`; `time` by the database's clock."""

retired_events = sa.Table(
    "retired_events",
    metadata,
    sa.Column("event_hash", sa.String(64), primary_key=True),
    sa.Column("time", sa.BigInteger, nullable=False),
)
"""SHA-256 of the ids of forgotten events: a client that sends one again must not revive it."""

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_hash", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("roles", sa.String(64), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)
"""SHA-256 of the keys: they are long random texts, so a slow hash would add nothing."""
