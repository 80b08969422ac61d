"""Jobs and the leases of workers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002_jobs"
down_revision = "0001_foundation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("parent_job_id", sa.Uuid()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("arguments_json", postgresql.JSONB(), nullable=False),
        sa.Column("arguments_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("attempts_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("excused_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("executor_id", sa.Text()),
        sa.Column("progress_json", postgresql.JSONB()),
        sa.Column("result_json", postgresql.JSONB()),
        sa.Column("error_json", postgresql.JSONB()),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_jobs__state_word"),
        ),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_jobs__finished_at_when_ended"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR error_json IS NOT NULL", name=op.f("ck_jobs__error_when_failed")
        ),
        sa.CheckConstraint("priority >= 1", name=op.f("ck_jobs__priority_range")),
        sa.CheckConstraint(
            "arguments_digest ~ '^[0-9a-f]{64}$'", name=op.f("ck_jobs__arguments_digest_form")
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_jobs")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_jobs__project_id")),
        sa.ForeignKeyConstraint(
            ["parent_job_id"], ["jobs.job_id"], name=op.f("fk_jobs__parent_job_id"), ondelete="CASCADE"
        ),
    )
    op.create_index(
        "uq_jobs__project_id_idempotency_key", "jobs", ["project_id", "idempotency_key"], unique=True
    )
    op.create_index("ix_jobs__project_id_created_at_job_id", "jobs", ["project_id", "created_at", "job_id"])
    op.create_index(
        "ix_jobs__parent_job_id",
        "jobs",
        ["parent_job_id"],
        postgresql_where=sa.text("parent_job_id IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs__queue_queued_at",
        "jobs",
        ["queue", "queued_at"],
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_jobs__executor_id", "jobs", ["executor_id"], postgresql_where=sa.text("state = 'running'")
    )
    op.create_index(
        "ix_jobs__finished_at", "jobs", ["finished_at"], postgresql_where=sa.text("finished_at IS NOT NULL")
    )
    op.create_table(
        "worker_leases",
        sa.Column("executor_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_start", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("executor_id", name=op.f("pk_worker_leases")),
    )


def downgrade() -> None:
    op.drop_table("worker_leases")
    op.drop_table("jobs")
