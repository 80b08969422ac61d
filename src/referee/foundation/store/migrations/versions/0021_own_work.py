"""Up to where Referee's own work has been kept as traces."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021_own_work"
down_revision = "0020_trace_indexes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "own_work_places",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_own_work_places")),
    )


def downgrade() -> None:
    op.drop_table("own_work_places")
