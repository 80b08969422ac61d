"""Generation of apps: the models that write them, and each writing with what it cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006_generation"
down_revision = "0005_analyzers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_models()
    _create_generations()


def _create_models() -> None:
    op.create_table(
        "models",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("input_usd_per_mtok", sa.Float()),
        sa.Column("output_usd_per_mtok", sa.Float()),
        sa.Column("context_tokens", sa.Integer()),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint(
            "input_usd_per_mtok >= 0 AND output_usd_per_mtok >= 0 AND context_tokens >= 1",
            name=op.f("ck_models__numbers_range"),
        ),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_models")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_models__project_id")),
        sa.UniqueConstraint("project_id", "slug", name=op.f("uq_models__project_id_slug")),
    )


def _create_generations() -> None:
    op.create_table(
        "generations",
        sa.Column("generation_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("app_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid()),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("stage", sa.Text(), server_default="", nullable=False),
        sa.Column("failure", sa.Text()),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("seed", sa.BigInteger()),
        sa.Column("temperature", sa.Float(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cost_usd", sa.Float()),
        sa.Column("held_usd", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("calls_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("calls_json", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("findings_json", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("files_count", sa.Integer()),
        sa.Column("source_sha256", sa.Text()),
        sa.Column("record_sha256", sa.Text()),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_generations__state_known"),
        ),
        sa.CheckConstraint(
            "(state = 'failed') = (failure IS NOT NULL)", name=op.f("ck_generations__failure_when_failed")
        ),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_generations__finished_at_when_ended"),
        ),
        sa.CheckConstraint(
            "state <> 'succeeded' OR source_sha256 IS NOT NULL",
            name=op.f("ck_generations__source_when_succeeded"),
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_generations__version_positive")),
        sa.PrimaryKeyConstraint("generation_id", name=op.f("pk_generations")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_generations__project_id")
        ),
        sa.ForeignKeyConstraint(["app_id"], ["apps.app_id"], name=op.f("fk_generations__app_id")),
        sa.ForeignKeyConstraint(
            ["template_id"], ["templates.template_id"], name=op.f("fk_generations__template_id")
        ),
        sa.ForeignKeyConstraint(
            ["source_sha256"], ["artifacts.sha256"], name=op.f("fk_generations__source_sha256")
        ),
        sa.ForeignKeyConstraint(
            ["record_sha256"], ["artifacts.sha256"], name=op.f("fk_generations__record_sha256")
        ),
        sa.UniqueConstraint("app_id", "version", name=op.f("uq_generations__app_id_version")),
    )
    op.create_index(
        "uq_generations__live",
        "generations",
        ["app_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_index(
        "ix_generations__project_id_created_at",
        "generations",
        ["project_id", sa.literal_column("created_at DESC"), "generation_id"],
    )
    op.create_index("ix_generations__finished_at", "generations", [sa.literal_column("finished_at DESC")])


def downgrade() -> None:
    op.drop_table("generations")
    op.drop_table("models")
