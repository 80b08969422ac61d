"""Reports, and how many lines of code an analysis judged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009_reports"
down_revision = "0008_pipelines"
branch_labels = None
depends_on = None

FILES = ("data", "html", "pdf", "xlsx", "csv")


def upgrade() -> None:
    op.add_column("analyses", sa.Column("code_lines_count", sa.BigInteger()))
    op.create_table(
        "reports",
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("parameters_json", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        *(sa.Column(f"{name}_sha256", sa.Text()) for name in FILES),
        sa.Column("job_id", sa.Uuid()),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "kind IN ('model_analysis', 'template_comparison', 'tool_analysis', 'generation_analytics', 'comprehensive')",
            name=op.f("ck_reports__kind_known"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'failed')", name=op.f("ck_reports__state_known")
        ),
        sa.CheckConstraint(
            "state <> 'completed' OR (data_sha256 IS NOT NULL AND html_sha256 IS NOT NULL AND pdf_sha256 IS NOT NULL"
            " AND xlsx_sha256 IS NOT NULL AND csv_sha256 IS NOT NULL)",
            name=op.f("ck_reports__complete_with_all_files"),
        ),
        sa.CheckConstraint("state <> 'failed' OR reason <> ''", name=op.f("ck_reports__failure_explained")),
        sa.CheckConstraint(
            "(state IN ('completed', 'failed')) = (finished_at IS NOT NULL)",
            name=op.f("ck_reports__finished_at_when_ended"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_reports__project_id")),
        *(
            sa.ForeignKeyConstraint(
                [f"{name}_sha256"], ["artifacts.sha256"], name=op.f(f"fk_reports__{name}_sha256")
            )
            for name in FILES
        ),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_reports")),
        sa.UniqueConstraint(
            "project_id", "idempotency_key", name=op.f("uq_reports__project_id_idempotency_key")
        ),
        sa.UniqueConstraint("sequence", name=op.f("uq_reports__sequence")),
    )
    op.create_index("ix_reports__project_id_sequence", "reports", ["project_id", "sequence"])


def downgrade() -> None:
    op.drop_table("reports")
    op.drop_column("analyses", "code_lines_count")
