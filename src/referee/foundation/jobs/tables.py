"""Tables of jobs and of the leases of workers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from referee.foundation.store import Base

__all__ = ["JobRow", "WorkerLeaseRow"]


class JobRow(Base):
    """A job, from submission until retention deletes it."""

    __tablename__ = "jobs"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.project_id"))
    parent_job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.job_id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="queued")
    queue: Mapped[str] = mapped_column(Text)
    priority: Mapped[int]
    idempotency_key: Mapped[str | None]
    arguments_json: Mapped[dict[str, Any]] = mapped_column(JSONB)
    arguments_digest: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    queued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    attempts_count: Mapped[int] = mapped_column(server_default=text("0"))
    excused_count: Mapped[int] = mapped_column(server_default=text("0"))
    """Attempts that say nothing against the job: handed back by a worker that stopped, or followed by progress."""
    executor_id: Mapped[str | None]
    progress_json: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    result_json: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    error_json: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))

    __table_args__ = (
        CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state_word"
        ),
        CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name="finished_at_when_ended",
        ),
        CheckConstraint("state <> 'failed' OR error_json IS NOT NULL", name="error_when_failed"),
        CheckConstraint("priority >= 1", name="priority_range"),
        CheckConstraint("arguments_digest ~ '^[0-9a-f]{64}$'", name="arguments_digest_form"),
        Index("uq_jobs__project_id_idempotency_key", "project_id", "idempotency_key", unique=True),
        Index("ix_jobs__project_id_created_at_job_id", "project_id", "created_at", "job_id"),
        Index("ix_jobs__parent_job_id", "parent_job_id", postgresql_where=text("parent_job_id IS NOT NULL")),
        Index("ix_jobs__queue_queued_at", "queue", "queued_at", postgresql_where=text("state = 'queued'")),
        Index("ix_jobs__executor_id", "executor_id", postgresql_where=text("state = 'running'")),
        Index("ix_jobs__finished_at", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    )


class WorkerLeaseRow(Base):
    """The right of one process to run jobs, until ``expires_at`` by the database's clock."""

    __tablename__ = "worker_leases"

    executor_id: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(Text)
    machine: Mapped[str] = mapped_column(Text)
    pid: Mapped[int]
    process_start: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    renewed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
