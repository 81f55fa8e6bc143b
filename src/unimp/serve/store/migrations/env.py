"""Alembic runs this: apply the revisions on the connection that the store opened, in its transaction."""

from __future__ import annotations

from alembic import context

from unimp.serve.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
