"""Remote analyzers: who is there, what was asked of them, and how far each result has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005_analyzers"
down_revision = "0004_running_apps"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("analyses", sa.Column("traceparent", sa.Text()))
    _create_analyzers()
    _create_requests()
    _create_transfers()


def _create_analyzers() -> None:
    op.create_table(
        "analyzers",
        sa.Column("analyzer_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("services_json", postgresql.JSONB(), nullable=False),
        sa.Column("tools_json", postgresql.JSONB(), nullable=False),
        sa.Column("slots_count", sa.Integer(), nullable=False),
        sa.Column("status_json", postgresql.JSONB()),
        sa.Column("connection_id", sa.Uuid()),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("slots_count >= 1", name=op.f("ck_analyzers__slots_count_range")),
        sa.PrimaryKeyConstraint("analyzer_id", name=op.f("pk_analyzers")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_analyzers__project_id")
        ),
    )
    op.create_index(
        "ix_analyzers__project_id_beat_at", "analyzers", ["project_id", sa.literal_column("beat_at DESC")]
    )


def _create_requests() -> None:
    op.create_table(
        "analyzer_requests",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("stage", sa.Text(), server_default="", nullable=False),
        sa.Column("analyzer_id", sa.Uuid()),
        sa.Column("is_accepted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("attempts_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('waiting', 'assigned', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_analyzer_requests__state_known"),
        ),
        sa.CheckConstraint(
            "state <> 'assigned' OR analyzer_id IS NOT NULL",
            name=op.f("ck_analyzer_requests__assigned_to_someone"),
        ),
        sa.CheckConstraint(
            "(state IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_analyzer_requests__finished_at_when_ended"),
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_analyzer_requests")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_analyzer_requests__project_id")
        ),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.analysis_id"], name=op.f("fk_analyzer_requests__analysis_id")
        ),
        sa.ForeignKeyConstraint(
            ["analyzer_id"], ["analyzers.analyzer_id"], name=op.f("fk_analyzer_requests__analyzer_id")
        ),
        sa.UniqueConstraint("analysis_id", "service", name=op.f("uq_analyzer_requests__analysis_id_service")),
    )
    op.create_index(
        "ix_analyzer_requests__waiting",
        "analyzer_requests",
        ["project_id", "created_at"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "ix_analyzer_requests__assigned",
        "analyzer_requests",
        ["analyzer_id"],
        postgresql_where=sa.text("state = 'assigned'"),
    )


def _create_transfers() -> None:
    op.create_table(
        "analyzer_transfers",
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("tool_run_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("analyzer_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="expected", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("total_bytes", sa.BigInteger()),
        sa.Column("sha256", sa.Text()),
        sa.Column("committed_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('expected', 'open', 'committed', 'superseded', 'refused')",
            name=op.f("ck_analyzer_transfers__state_known"),
        ),
        sa.CheckConstraint(
            "sha256 IS NULL OR sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_analyzer_transfers__sha256_form")
        ),
        sa.CheckConstraint(
            "state <> 'open' OR (sha256 IS NOT NULL AND total_bytes IS NOT NULL)",
            name=op.f("ck_analyzer_transfers__announced_when_open"),
        ),
        sa.CheckConstraint(
            "committed_bytes >= 0 AND committed_bytes <= COALESCE(total_bytes, 0)",
            name=op.f("ck_analyzer_transfers__committed_bytes_range"),
        ),
        sa.PrimaryKeyConstraint("transfer_id", name=op.f("pk_analyzer_transfers")),
        sa.ForeignKeyConstraint(
            ["request_id"], ["analyzer_requests.request_id"], name=op.f("fk_analyzer_transfers__request_id")
        ),
        sa.ForeignKeyConstraint(
            ["tool_run_id"], ["tool_runs.tool_run_id"], name=op.f("fk_analyzer_transfers__tool_run_id")
        ),
        sa.ForeignKeyConstraint(
            ["analyzer_id"], ["analyzers.analyzer_id"], name=op.f("fk_analyzer_transfers__analyzer_id")
        ),
        sa.UniqueConstraint(
            "request_id",
            "tool_run_id",
            "attempt",
            name=op.f("uq_analyzer_transfers__request_id_tool_run_id_attempt"),
        ),
    )
    op.create_index("ix_analyzer_transfers__tool_run_id", "analyzer_transfers", ["tool_run_id"])


def downgrade() -> None:
    for table in ("analyzer_transfers", "analyzer_requests", "analyzers"):
        op.drop_table(table)
    op.drop_column("analyses", "traceparent")
