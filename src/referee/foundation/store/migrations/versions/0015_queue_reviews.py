"""What became of the events of annotation queues."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015_queue_reviews"
down_revision = "0014_analyzer_replicas"
branch_labels = None
depends_on = None

TABLE = "annotation_queue_events"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False))
    op.add_column(TABLE, sa.Column("origin", sa.Text(), server_default=sa.text("'by_hand'"), nullable=False))
    op.add_column(TABLE, sa.Column("reviewed_at", sa.DateTime(timezone=True)))
    op.create_check_constraint(
        op.f("ck_annotation_queue_events__state_known"), TABLE, "state IN ('waiting', 'done', 'skipped')"
    )
    op.create_check_constraint(
        op.f("ck_annotation_queue_events__origin_known"), TABLE, "origin IN ('by_hand', 'by_filter')"
    )
    op.create_index(
        "ix_annotation_queue_events__waiting",
        TABLE,
        ["annotation_queue_id", "state", "added_at", "event_id"],
    )


def downgrade() -> None:
    op.drop_index("ix_annotation_queue_events__waiting", TABLE)
    for name in ("origin_known", "state_known"):
        op.drop_constraint(op.f(f"ck_annotation_queue_events__{name}"), TABLE)
    for name in ("reviewed_at", "origin", "state"):
        op.drop_column(TABLE, name)
