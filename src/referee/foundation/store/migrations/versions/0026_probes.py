"""Results of probes, indexes that the overview of operations reads analyses by, and what was sent to a collector."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026_probes"
down_revision = "0025_artifact_places"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "probe_results",
        sa.Column("probe_result_id", sa.Uuid(), nullable=False),
        sa.Column("probe", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("steps_json", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=True),
        sa.Column("is_scheduled", sa.Boolean(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "probe IN ('trace', 'artifact', 'analysis')", name=op.f("ck_probe_results__probe_known")
        ),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome IN ('succeeded', 'failed', 'timed_out', 'unavailable')",
            name=op.f("ck_probe_results__outcome_known"),
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (finished_at IS NULL)", name=op.f("ck_probe_results__end_whole")
        ),
        sa.PrimaryKeyConstraint("probe_result_id", name=op.f("pk_probe_results")),
    )
    op.create_index(
        "ix_probe_results__probe_requested_at", "probe_results", ["probe", "requested_at"], unique=False
    )
    op.create_index("ix_probe_results__requested_at", "probe_results", ["requested_at"], unique=False)
    op.create_index(
        "uq_probe_results__open",
        "probe_results",
        ["probe"],
        unique=True,
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_table(
        "own_work_exports",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_json", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_own_work_exports")),
    )
    op.create_index(
        "ix_analyses__project_id_finished_at",
        "analyses",
        ["project_id", "finished_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_analyses__project_id_created_at", "analyses", ["project_id", "created_at"], unique=False
    )


def downgrade() -> None:
    op.drop_index("ix_analyses__project_id_created_at", table_name="analyses")
    op.drop_index("ix_analyses__project_id_finished_at", table_name="analyses")
    op.drop_table("own_work_exports")
    op.drop_table("probe_results")
