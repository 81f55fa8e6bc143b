"""A log of changes that other servers follow; items can be removed; ids of forgotten events, as hashes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("transaction", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("changes_by_transaction", "changes", ["transaction"])
    op.create_index("changes_by_time", "changes", ["time"])
    op.create_index("changes_by_subject", "changes", ["subject"])
    op.create_table(
        "retired_events",
        sa.Column("event_hash", sa.String(64), primary_key=True),
        sa.Column("time", sa.BigInteger, nullable=False),
    )
    op.add_column("items", sa.Column("removed", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("items", "removed")
    op.drop_table("retired_events")
    op.drop_table("changes")
