"""Attempts that are not held against a job."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, update

from referee.foundation.jobs.tables import JobRow
from referee.foundation.store import Database

__all__ = ["excuse_attempts"]


async def excuse_attempts(database: Database, job_id: UUID, count: int | None = None) -> None:
    """Excuse the first ``count`` attempts at a job, or all so far, the present one included."""
    excused = JobRow.attempts_count if count is None else func.greatest(JobRow.excused_count, count)
    async with database.transaction() as session:
        await session.execute(update(JobRow).where(JobRow.job_id == job_id).values(excused_count=excused))
