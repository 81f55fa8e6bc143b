"""Items have versions, so that a server sees what another one upserted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("items", sa.Column("version", sa.String(32), nullable=False, server_default=""))
    op.create_index("items_by_update", "items", ["updated"])


def downgrade() -> None:
    op.drop_index("items_by_update", "items")
    op.drop_column("items", "version")
