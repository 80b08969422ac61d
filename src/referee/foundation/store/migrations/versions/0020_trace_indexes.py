"""Indexes that hold what lists of traces filter and count by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020_trace_indexes"
down_revision = "0019_result_imports"
branch_labels = None
depends_on = None

ROOTS = "parent_uid IS NULL AND event_type <> 'session'"
ERRORS = "error IS NOT NULL"
USERS = "user_id IS NOT NULL"


def upgrade() -> None:
    _drop()
    op.create_index(
        "ix_spans__roots",
        "spans",
        ["project_id", "start_ns"],
        postgresql_include=["span_uid", "trace_id", "event_type"],
        postgresql_where=sa.text(ROOTS),
    )
    op.create_index(
        "ix_spans__errors",
        "spans",
        ["project_id", "start_ns"],
        postgresql_include=["span_uid", "trace_id"],
        postgresql_where=sa.text(ERRORS),
    )
    op.create_index(
        "ix_spans__user_id",
        "spans",
        ["project_id", sa.text("lower(user_id)"), "start_ns"],
        postgresql_where=sa.text(USERS),
    )
    op.create_index(
        "ix_spans__model",
        "spans",
        ["project_id", sa.text("lower(model)")],
        postgresql_include=["span_uid", "trace_id"],
        postgresql_where=sa.text("model IS NOT NULL"),
    )
    op.create_index(
        "ix_sessions__user_id",
        "sessions",
        ["project_id", sa.text("lower(user_id)"), "start_ns"],
        postgresql_where=sa.text(USERS),
    )
    # Index-only scans need pages that are known to be visible to all: 5 % of new rows wait for that at most.
    op.execute("ALTER TABLE spans SET (autovacuum_vacuum_insert_scale_factor = 0.05)")


def downgrade() -> None:
    op.execute("ALTER TABLE spans RESET (autovacuum_vacuum_insert_scale_factor)")
    op.drop_index("ix_spans__model", table_name="spans")
    _drop()
    op.create_index("ix_spans__roots", "spans", ["project_id", "start_ns"], postgresql_where=sa.text(ROOTS))
    op.create_index("ix_spans__errors", "spans", ["project_id", "start_ns"], postgresql_where=sa.text(ERRORS))
    op.create_index(
        "ix_spans__user_id", "spans", ["project_id", "user_id", "start_ns"], postgresql_where=sa.text(USERS)
    )
    op.create_index(
        "ix_sessions__user_id", "sessions", ["project_id", "user_id"], postgresql_where=sa.text(USERS)
    )


def _drop() -> None:
    for name in ("roots", "errors", "user_id"):
        op.drop_index(f"ix_spans__{name}", table_name="spans")
    op.drop_index("ix_sessions__user_id", table_name="sessions")
