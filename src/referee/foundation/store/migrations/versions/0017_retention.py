"""How long a project keeps its sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017_retention"
down_revision = "0016_decision_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trace_retentions",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("keep_days", sa.Integer()),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "keep_days BETWEEN 1 AND 36500", name=op.f("ck_trace_retentions__keep_days_range")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.project_id"],
            name=op.f("fk_trace_retentions__project_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_trace_retentions")),
    )
    op.create_index("ix_sessions__project_id_last_seen_at", "sessions", ["project_id", "last_seen_at"])


def downgrade() -> None:
    op.drop_index("ix_sessions__project_id_last_seen_at", table_name="sessions")
    op.drop_table("trace_retentions")
