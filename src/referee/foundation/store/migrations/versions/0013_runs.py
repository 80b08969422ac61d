"""Runs of experiments, and what metrics said of events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013_runs"
down_revision = "0012_experiments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "experiment_runs",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=True),
        sa.Column("metadata_json", postgresql.JSONB(), nullable=False),
        sa.Column("results_json", postgresql.JSONB(), nullable=False),
        sa.Column("configuration_json", postgresql.JSONB(), nullable=False),
        sa.Column("event_ids_json", postgresql.JSONB(), nullable=False),
        sa.Column("metric_names_json", postgresql.JSONB(), nullable=False),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_experiment_runs__status_known"),
        ),
        sa.CheckConstraint(
            "length(run_id) BETWEEN 1 AND 200", name=op.f("ck_experiment_runs__run_id_length")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_experiment_runs__project_id")
        ),
        sa.PrimaryKeyConstraint("project_id", "run_id", name=op.f("pk_experiment_runs")),
        sa.UniqueConstraint("sequence", name=op.f("uq_experiment_runs__sequence")),
    )
    op.create_index("ix_experiment_runs__project_id_sequence", "experiment_runs", ["project_id", "sequence"])
    op.create_index(
        "ix_experiment_runs__project_id_dataset_id", "experiment_runs", ["project_id", "dataset_id"]
    )
    op.create_table(
        "evaluations",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("metric_id", sa.Uuid(), nullable=False),
        sa.Column("metric_version", sa.Text(), nullable=False),
        sa.Column("metric_name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("score_json", postgresql.JSONB(), nullable=True),
        sa.Column("explanation", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'scored', 'unscored')", name=op.f("ck_evaluations__state_known")
        ),
        sa.CheckConstraint(
            "(state = 'waiting') = (finished_at IS NULL)",
            name=op.f("ck_evaluations__finished_at_when_ended"),
        ),
        sa.CheckConstraint(
            "prompt_tokens >= 0 AND completion_tokens >= 0", name=op.f("ck_evaluations__tokens_range")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_evaluations__project_id")
        ),
        sa.PrimaryKeyConstraint(
            "project_id", "event_id", "metric_id", "metric_version", name=op.f("pk_evaluations")
        ),
    )
    op.create_index("ix_evaluations__project_id_finished_at", "evaluations", ["project_id", "finished_at"])
    op.create_index(
        "ix_evaluations__job_id",
        "evaluations",
        ["job_id"],
        postgresql_where=sa.text("state = 'waiting'"),
    )


def downgrade() -> None:
    op.drop_table("evaluations")
    op.drop_table("experiment_runs")
