"""Where artifacts lie, so that a process that is set otherwise is refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025_artifact_places"
down_revision = "0024_videos"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "artifact_places",
        sa.Column("is_only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("is_only", name=op.f("ck_artifact_places__one_row")),
        sa.PrimaryKeyConstraint("is_only", name=op.f("pk_artifact_places")),
    )
    # Until now there was no other place.
    op.execute(
        "INSERT INTO artifact_places (place) SELECT 'folder' WHERE EXISTS (SELECT 1 FROM artifacts LIMIT 1)"
    )


def downgrade() -> None:
    op.drop_table("artifact_places")
