"""Pipelines that are kept to be started again, and apps that are none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_presets_and_placeholders"
down_revision = "0009_reports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("apps", sa.Column("placeholder", sa.Text()))
    op.add_column(
        "apps", sa.Column("placeholder_reason", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_apps__placeholder_known"),
        "apps",
        "placeholder IN ('empty', 'scaffold', 'unwritten', 'filler')",
    )
    op.create_table(
        "pipeline_presets",
        sa.Column("preset_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition_text", sa.Text(), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 80", name=op.f("ck_pipeline_presets__name_length")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_pipeline_presets__project_id")
        ),
        sa.PrimaryKeyConstraint("preset_id", name=op.f("pk_pipeline_presets")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_pipeline_presets__project_id_name")),
    )
    op.create_index(
        "uq_pipeline_presets__default",
        "pipeline_presets",
        ["project_id"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )


def downgrade() -> None:
    op.drop_table("pipeline_presets")
    op.drop_constraint(op.f("ck_apps__placeholder_known"), "apps", type_="check")
    op.drop_column("apps", "placeholder_reason")
    op.drop_column("apps", "placeholder")
