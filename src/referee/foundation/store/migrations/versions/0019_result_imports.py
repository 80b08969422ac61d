"""Imports of old results and what became of each thing in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019_result_imports"
down_revision = "0018_backfills"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "result_imports",
        sa.Column("result_import_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("is_dry", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("files_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("app_files_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("job_id", sa.Uuid()),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'finished', 'failed', 'cancelled')",
            name=op.f("ck_result_imports__state_known"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR reason <> ''", name=op.f("ck_result_imports__failure_explained")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_result_imports__project_id")
        ),
        sa.PrimaryKeyConstraint("result_import_id", name=op.f("pk_result_imports")),
        sa.UniqueConstraint(
            "project_id", "idempotency_key", name=op.f("uq_result_imports__project_id_idempotency_key")
        ),
        sa.UniqueConstraint("sequence", name=op.f("uq_result_imports__sequence")),
    )
    op.create_index("ix_result_imports__project_id_sequence", "result_imports", ["project_id", "sequence"])
    op.create_table(
        "result_import_items",
        sa.Column("result_import_id", sa.Uuid(), nullable=False),
        sa.Column("item_key", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("services_json", postgresql.JSONB(), nullable=False),
        sa.Column("tools_count", sa.Integer(), nullable=False),
        sa.Column("findings_count", sa.Integer(), nullable=False),
        sa.Column("claimed_count", sa.Integer()),
        sa.Column("analysis_id", sa.Uuid()),
        sa.Column("sha256", sa.Text()),
        sa.CheckConstraint(
            "state IN ('imported', 'known', 'quarantined')", name=op.f("ck_result_import_items__state_known")
        ),
        sa.CheckConstraint(
            "state <> 'quarantined' OR reason <> ''",
            name=op.f("ck_result_import_items__quarantine_explained"),
        ),
        sa.ForeignKeyConstraint(
            ["result_import_id"],
            ["result_imports.result_import_id"],
            name=op.f("fk_result_import_items__result_import_id"),
        ),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analyses.analysis_id"], name=op.f("fk_result_import_items__analysis_id")
        ),
        sa.ForeignKeyConstraint(
            ["sha256"], ["artifacts.sha256"], name=op.f("fk_result_import_items__sha256")
        ),
        sa.PrimaryKeyConstraint("result_import_id", "item_key", name=op.f("pk_result_import_items")),
        sa.UniqueConstraint("sequence", name=op.f("uq_result_import_items__sequence")),
    )
    op.create_index(
        "ix_result_import_items__import", "result_import_items", ["result_import_id", "state", "sequence"]
    )
    op.create_index("ix_result_import_items__analysis_id", "result_import_items", ["analysis_id"])


def downgrade() -> None:
    op.drop_table("result_import_items")
    op.drop_table("result_imports")
