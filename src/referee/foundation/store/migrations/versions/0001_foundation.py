"""Projects, API keys and artifacts, with the project ``default``."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001_foundation"
down_revision = None
branch_labels = None
depends_on = None

DEFAULT_PROJECT_ID = UUID("01900000-0000-7000-8000-000000000001")
"""The same everywhere, so that rows of two installations can be compared."""


def upgrade() -> None:
    projects = op.create_table(
        "projects",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'", name=op.f("ck_projects__slug_form")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_projects")),
        sa.UniqueConstraint("slug", name=op.f("uq_projects__slug")),
    )
    op.create_table(
        "api_keys",
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes_json", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "octet_length(secret_digest) = 32", name=op.f("ck_api_keys__secret_digest_length")
        ),
        sa.PrimaryKeyConstraint("api_key_id", name=op.f("pk_api_keys")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_api_keys__project_id"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint("secret_digest", name=op.f("uq_api_keys__secret_digest")),
    )
    op.create_index("ix_api_keys__project_id_created_at", "api_keys", ["project_id", "created_at"])
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_artifacts__sha256_form")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_artifacts__size_bytes_range")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_artifacts")),
    )
    op.bulk_insert(projects, [{"project_id": DEFAULT_PROJECT_ID, "slug": "default", "name": "Default"}])


def downgrade() -> None:
    op.drop_table("artifacts")
    op.drop_table("api_keys")
    op.drop_table("projects")
