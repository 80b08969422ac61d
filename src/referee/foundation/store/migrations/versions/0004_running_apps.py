"""Running apps: templates, runs, leases and ports of apps; addresses of findings; breakers of services."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004_running_apps"
down_revision = "0003_analysis"
branch_labels = None
depends_on = None

_SERVICES = "service IN ('static', 'dynamic', 'performance', 'ai', 'video')"


def upgrade() -> None:
    _create_app_tables()
    _create_breaker_tables()
    op.add_column("analyses", sa.Column("template_id", sa.Uuid()))
    op.create_foreign_key(
        op.f("fk_analyses__template_id"), "analyses", "templates", ["template_id"], ["template_id"]
    )
    op.add_column("tool_runs", sa.Column("app_run_id", sa.Uuid()))
    op.create_foreign_key(
        op.f("fk_tool_runs__app_run_id"), "tool_runs", "app_runs", ["app_run_id"], ["app_run_id"]
    )
    op.add_column("findings", sa.Column("address", sa.Text()))
    op.add_column("occurrences", sa.Column("address_json", postgresql.JSONB()))
    op.add_column("measurements", sa.Column("address", sa.Text()))


def _create_app_tables() -> None:
    op.create_table(
        "templates",
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("template_id", name=op.f("pk_templates")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_templates__project_id")
        ),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name=op.f("fk_templates__sha256")),
        sa.UniqueConstraint("project_id", "sha256", name=op.f("uq_templates__project_id_sha256")),
    )
    op.create_table(
        "app_runs",
        sa.Column("app_run_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("app_id", sa.Uuid()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source_digest", sa.Text(), nullable=False),
        sa.Column("listing_sha256", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="starting", nullable=False),
        sa.Column("stage", sa.Text(), server_default="", nullable=False),
        sa.Column("failure", sa.Text()),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("last_lines_json", postgresql.JSONB()),
        sa.Column("components_json", postgresql.JSONB()),
        sa.Column("notices_json", postgresql.JSONB()),
        sa.Column("network_json", postgresql.JSONB()),
        sa.Column("isolation_json", postgresql.JSONB()),
        sa.Column("logs_json", postgresql.JSONB()),
        sa.Column("host_pid", sa.Integer()),
        sa.Column("host_started", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("beat_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('starting', 'running', 'stopping', 'stopped', 'failed')",
            name=op.f("ck_app_runs__state_known"),
        ),
        sa.CheckConstraint(
            "(state = 'failed') = (failure IS NOT NULL)", name=op.f("ck_app_runs__failure_when_failed")
        ),
        sa.CheckConstraint(
            "(state IN ('stopped', 'failed')) = (finished_at IS NOT NULL)",
            name=op.f("ck_app_runs__finished_at_when_ended"),
        ),
        sa.PrimaryKeyConstraint("app_run_id", name=op.f("pk_app_runs")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_app_runs__project_id")
        ),
        sa.ForeignKeyConstraint(["app_id"], ["apps.app_id"], name=op.f("fk_app_runs__app_id")),
        sa.ForeignKeyConstraint(
            ["listing_sha256"], ["artifacts.sha256"], name=op.f("fk_app_runs__listing_sha256")
        ),
    )
    op.create_index(
        "uq_app_runs__live",
        "app_runs",
        ["project_id", "source_digest", "machine"],
        unique=True,
        postgresql_where=sa.text("state IN ('starting', 'running', 'stopping')"),
    )
    op.create_index(
        "ix_app_runs__project_id_created_at",
        "app_runs",
        ["project_id", sa.literal_column("created_at DESC"), "app_run_id"],
    )
    op.create_table(
        "app_leases",
        sa.Column("lease_id", sa.Uuid(), nullable=False),
        sa.Column("app_run_id", sa.Uuid(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("is_person", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("has_turn", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("lease_id", name=op.f("pk_app_leases")),
        sa.ForeignKeyConstraint(
            ["app_run_id"], ["app_runs.app_run_id"], name=op.f("fk_app_leases__app_run_id")
        ),
    )
    op.create_index("ix_app_leases__app_run_id", "app_leases", ["app_run_id"])
    op.create_index(
        "uq_app_leases__turn",
        "app_leases",
        ["app_run_id"],
        unique=True,
        postgresql_where=sa.text("has_turn"),
    )
    op.create_table(
        "app_ports",
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("app_run_id", sa.Uuid(), nullable=False),
        sa.Column("component", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("machine", "port", name=op.f("pk_app_ports")),
        sa.ForeignKeyConstraint(
            ["app_run_id"], ["app_runs.app_run_id"], name=op.f("fk_app_ports__app_run_id")
        ),
    )


def _create_breaker_tables() -> None:
    op.create_table(
        "service_failures",
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(_SERVICES, name=op.f("ck_service_failures__service_known")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_service_failures")),
    )
    op.create_index("ix_service_failures__service_at", "service_failures", ["service", "at"])
    op.create_table(
        "service_breakers",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probing_until", sa.DateTime(timezone=True)),
        sa.CheckConstraint(_SERVICES, name=op.f("ck_service_breakers__service_known")),
        sa.CheckConstraint(
            "state IN ('closed', 'open', 'half_open')", name=op.f("ck_service_breakers__state_known")
        ),
        sa.PrimaryKeyConstraint("service", name=op.f("pk_service_breakers")),
    )


def downgrade() -> None:
    op.drop_column("measurements", "address")
    op.drop_column("occurrences", "address_json")
    op.drop_column("findings", "address")
    op.drop_column("tool_runs", "app_run_id")
    op.drop_column("analyses", "template_id")
    for table in (
        "service_breakers", "service_failures", "app_ports", "app_leases", "app_runs", "templates",
    ):  # fmt: skip
        op.drop_table(table)
