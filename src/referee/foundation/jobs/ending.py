"""How a job ends: its final state, its descendants' end, and the word to its room, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.foundation.jobs import metrics
from referee.foundation.jobs.kinds import KindRegistry
from referee.foundation.jobs.library import JobLibrary
from referee.foundation.jobs.pauses import notify_queue
from referee.foundation.jobs.queries import read_job
from referee.foundation.jobs.states import ACTIVE_STATES, Job, JobError, JobState
from referee.foundation.jobs.tables import JobRow

__all__ = ["end_job"]

logger = structlog.get_logger(__name__)

ANCESTOR_ENDED = JobError(
    code="jobs.parent_ended",
    message="The job that started it has ended.",
    hint="Submit that job again.",
)


async def end_job(
    session: AsyncSession,
    library: JobLibrary,
    kinds: KindRegistry,
    job_id: UUID,
    *,
    state: JobState,
    result: Mapping[str, JsonValue] | None = None,
    error: JobError | None = None,
    executor_id: str | None = None,
    should_cancel: bool = False,
) -> Job | None:
    """End a job that has not ended, and cancel all its descendants that have not.

    Args:
        session: All of it happens in its transaction, but what the library is told.
        library: Told first; should the transaction fail then, reconciliation ends the rows.
        kinds: Whose end hooks are called.
        job_id: The job.
        state: The final state.
        result: Of a job that succeeded.
        error: Of a job that did not.
        executor_id: If given, only when this worker runs it.
        should_cancel: Whether to tell the library to cancel the job itself too.

    Returns:
        The ended job, or None when it had ended before, is unknown or is run by another worker.
    """
    locked = await session.scalar(
        select(JobRow).where(JobRow.job_id == job_id).with_for_update(key_share=True)
    )
    if locked is None or locked.state not in ACTIVE_STATES:
        return None
    if executor_id is not None and locked.executor_id != executor_id:
        return None
    descendants = await _lock_descendants(session, job_id)
    to_cancel = [*([job_id] if should_cancel else []), *descendants]
    if to_cancel:
        await library.cancel(to_cancel)
    job = await _end_row(session, kinds, job_id, state=state, result=result, error=error)
    for descendant_id in descendants:
        await _end_row(session, kinds, descendant_id, state="cancelled", result=None, error=ANCESTOR_ENDED)
    return job


async def _lock_descendants(session: AsyncSession, job_id: UUID) -> list[UUID]:
    """Lock and return the active descendants, always from ancestor to descendant, so without a deadlock."""
    found: list[UUID] = []
    level = [job_id]
    while level:
        query = (
            select(JobRow.job_id)
            .where(JobRow.parent_job_id.in_(level), JobRow.state.in_(ACTIVE_STATES))
            .order_by(JobRow.job_id)
            .with_for_update(key_share=True)
        )
        level = list((await session.scalars(query)).all())
        found += level
    return found


async def _end_row(
    session: AsyncSession,
    kinds: KindRegistry,
    job_id: UUID,
    *,
    state: JobState,
    result: Mapping[str, JsonValue] | None,
    error: JobError | None,
) -> Job:
    values: dict[str, Any] = {
        "state": state,
        "finished_at": func.clock_timestamp(),
        "result_json": None if result is None else dict(result),
        "error_json": None if error is None else asdict(error),
    }
    row = (
        await session.scalars(
            update(JobRow).where(JobRow.job_id == job_id).values(**values).returning(JobRow),
            execution_options={"populate_existing": True},
        )
    ).one()
    job = read_job(row)
    await _call_hook(session, kinds, job)
    await notify_queue(session, row.queue)
    metrics.ENDED.labels(kind=job.kind, state=job.state).inc()
    logger.info(
        "job.ended",
        job_id=str(job_id),
        kind=job.kind,
        state=state,
        code=None if error is None else error.code,
    )
    return job


async def _call_hook(session: AsyncSession, kinds: KindRegistry, job: Job) -> None:
    """Tell the job's room. A hook that raises undoes its own work only: the job has ended all the same."""
    kind = kinds.find(job.kind)
    if kind is None or kind.on_end is None:
        return
    try:
        async with session.begin_nested():
            await kind.on_end(session, job)
    except Exception:
        logger.exception("job.end_hook_failed", job_id=str(job.job_id), kind=job.kind)
        metrics.HOOK_FAILURES.labels(kind=job.kind).inc()
