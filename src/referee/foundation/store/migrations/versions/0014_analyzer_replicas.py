"""Listening analyzers that the settings name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_analyzer_replicas"
down_revision = "0013_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "analyzer_replicas",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("failures_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("analyzer_id", sa.Uuid()),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True)),
        sa.Column("held_by", sa.Uuid()),
        sa.Column("held_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('waiting', 'connected', 'unreachable', 'refused', 'unhealthy')",
            name=op.f("ck_analyzer_replicas__state_known"),
        ),
        sa.CheckConstraint("failures_count >= 0", name=op.f("ck_analyzer_replicas__failures_count_range")),
        sa.PrimaryKeyConstraint("service", "url", name=op.f("pk_analyzer_replicas")),
    )


def downgrade() -> None:
    op.drop_table("analyzer_replicas")
