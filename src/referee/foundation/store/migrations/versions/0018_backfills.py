"""Runs of backfills."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018_backfills"
down_revision = "0017_retention"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "backfill_runs",
        sa.Column("backfill_run_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("backfill", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("is_dry", sa.Boolean(), nullable=False),
        sa.Column("request_json", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("run_json", postgresql.JSONB()),
        sa.Column("progress_json", postgresql.JSONB()),
        sa.Column("jobs_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("job_id", sa.Uuid()),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'paused', 'finished', 'failed', 'cancelled', 'undoing', 'undone')",
            name=op.f("ck_backfill_runs__state_known"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR reason <> ''", name=op.f("ck_backfill_runs__failure_explained")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_backfill_runs__project_id")
        ),
        sa.PrimaryKeyConstraint("backfill_run_id", name=op.f("pk_backfill_runs")),
        sa.UniqueConstraint(
            "project_id", "idempotency_key", name=op.f("uq_backfill_runs__project_id_idempotency_key")
        ),
        sa.UniqueConstraint("sequence", name=op.f("uq_backfill_runs__sequence")),
    )
    op.create_index("ix_backfill_runs__project_id_sequence", "backfill_runs", ["project_id", "sequence"])


def downgrade() -> None:
    op.drop_table("backfill_runs")
