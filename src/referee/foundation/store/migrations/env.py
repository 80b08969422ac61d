"""How Alembic runs: always on the connection that the store hands over, never from a configuration file."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=True, version_table="alembic_version")
with context.begin_transaction():
    context.run_migrations()
