"""Pipelines with their cells and what happened to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008_pipelines"
down_revision = "0007_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_pipelines()
    _create_cells()
    _create_pipeline_events()


def _create_pipelines() -> None:
    op.create_table(
        "pipelines",
        sa.Column("pipeline_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("definition_sha256", sa.Text(), nullable=False),
        sa.Column("definition_json", postgresql.JSONB(), nullable=False),
        sa.Column("preflight_json", postgresql.JSONB()),
        sa.Column("budget_usd", sa.Numeric(precision=14, scale=6)),
        sa.Column("job_id", sa.Uuid()),
        sa.Column("drives_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'paused', 'completed', 'partially_completed', 'failed', 'cancelled')",
            name=op.f("ck_pipelines__state_known"),
        ),
        sa.CheckConstraint(
            "budget_usd IS NULL OR budget_usd >= 0", name=op.f("ck_pipelines__budget_usd_range")
        ),
        sa.CheckConstraint("drives_count >= 0", name=op.f("ck_pipelines__drives_count_range")),
        sa.ForeignKeyConstraint(
            ["definition_sha256"], ["artifacts.sha256"], name=op.f("fk_pipelines__definition_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_pipelines__project_id")
        ),
        sa.PrimaryKeyConstraint("pipeline_id", name=op.f("pk_pipelines")),
        sa.UniqueConstraint(
            "project_id", "idempotency_key", name=op.f("uq_pipelines__project_id_idempotency_key")
        ),
        sa.UniqueConstraint("sequence", name=op.f("uq_pipelines__sequence")),
    )
    op.create_index("ix_pipelines__project_id_sequence", "pipelines", ["project_id", "sequence"])


def _create_cells() -> None:
    op.create_table(
        "cells",
        sa.Column("cell_id", sa.Uuid(), nullable=False),
        sa.Column("pipeline_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("analysis_kind", sa.Text(), nullable=False),
        sa.Column("parameters_digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("is_valid", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("app_id", sa.Uuid()),
        sa.Column("generation_id", sa.Uuid()),
        sa.Column("analysis_id", sa.Uuid()),
        sa.Column("job_id", sa.Uuid()),
        sa.Column("attempts_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True)),
        sa.Column("cost_usd", sa.Numeric(precision=14, scale=6)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "(state IN ('completed', 'partially_completed', 'failed', 'skipped', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_cells__finished_at_when_ended"),
        ),
        sa.CheckConstraint(
            "NOT is_valid OR state IN ('completed', 'partially_completed')",
            name=op.f("ck_cells__valid_when_ended"),
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'generating', 'analysing', 'completed', 'partially_completed', 'failed', 'skipped', 'cancelled')",
            name=op.f("ck_cells__state_known"),
        ),
        sa.CheckConstraint(
            "NOT is_valid OR analysis_id IS NOT NULL", name=op.f("ck_cells__valid_with_analysis")
        ),
        sa.CheckConstraint("number >= 1", name=op.f("ck_cells__number_positive")),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.analysis_id"], name=op.f("fk_cells__analysis_id")
        ),
        sa.ForeignKeyConstraint(["app_id"], ["apps.app_id"], name=op.f("fk_cells__app_id")),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipelines.pipeline_id"], name=op.f("fk_cells__pipeline_id")
        ),
        sa.PrimaryKeyConstraint("cell_id", name=op.f("pk_cells")),
        sa.UniqueConstraint(
            "pipeline_id",
            "model",
            "template",
            "number",
            "analysis_kind",
            "parameters_digest",
            name="uq_cells__identity",
        ),
    )
    op.create_index(
        "ix_cells__analysis_id", "cells", ["analysis_id"], postgresql_where=sa.text("analysis_id IS NOT NULL")
    )
    op.create_index(
        "ix_cells__open",
        "cells",
        ["pipeline_id", "position"],
        postgresql_where=sa.text("state IN ('waiting', 'generating', 'analysing')"),
    )
    op.create_index("ix_cells__pipeline_id_position", "cells", ["pipeline_id", "position"])


def _create_pipeline_events() -> None:
    op.create_table(
        "pipeline_events",
        sa.Column("event_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("pipeline_id", sa.Uuid(), nullable=False),
        sa.Column("cell_id", sa.Uuid()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["cell_id"], ["cells.cell_id"], name=op.f("fk_pipeline_events__cell_id")),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipelines.pipeline_id"], name=op.f("fk_pipeline_events__pipeline_id")
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_pipeline_events")),
    )
    op.create_index(
        "ix_pipeline_events__pipeline_id_event_id", "pipeline_events", ["pipeline_id", "event_id"]
    )


def downgrade() -> None:
    for table in ("pipeline_events", "cells", "pipelines"):
        op.drop_table(table)
