"""Looking after jobs whose worker is gone, that got stuck, or whose end was not noted; and deleting old ones."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from referee.foundation.jobs import metrics
from referee.foundation.jobs.ending import end_job
from referee.foundation.jobs.library import SettledJob
from referee.foundation.jobs.states import ENDED_STATES, JobError, JobState
from referee.foundation.jobs.tables import JobRow
from referee.foundation.store import Database

if TYPE_CHECKING:
    from referee.foundation.jobs.engine import JobEngine
    from referee.foundation.jobs.leases import Lease
    from referee.foundation.jobs.runner import JobRunner

__all__ = ["StuckSweep", "count_old_jobs", "delete_ended_jobs", "hand_back_own", "reconcile", "take_over"]

logger = structlog.get_logger(__name__)

STUCK_AFTER_S: Final = 2.0
"""A claimed job without a task for this long, and over two looks, is stuck: dispatch takes milliseconds."""
RECONCILE_GRACE_S: Final = 2.0
RECONCILE_LIMIT: Final = 500
DELETE_BATCH_COUNT: Final = 500

LIBRARY_ERROR = JobError(
    code="jobs.engine_error",
    message="The job engine ended the job before it could note an outcome.",
    hint="The log of the worker has the reason; submit the job again.",
)
LOST = JobError(
    code="jobs.lost",
    message="The job engine does not know the job.",
    hint="Part of the database was restored or deleted; submit the job again.",
)


async def take_over(engine: JobEngine, lease: Lease) -> int:
    """Hand back the jobs of dead workers. Every worker does so; each job goes back once."""
    async with engine.database.transaction() as session:
        dead = await lease.find_dead(session, engine.library)
    count = 0
    for worker in dead:
        async with engine.database.transaction() as session:
            await session.execute(
                update(JobRow)
                .where(JobRow.executor_id == worker.executor_id, JobRow.state == "running")
                .values(state="queued", queued_at=func.clock_timestamp())
            )
        taken = await engine.library.hand_back(worker.executor_id)
        count += len(taken)
        metrics.TAKEOVERS.inc(len(taken))
        logger.warning(
            "worker.taken_over", executor_id=worker.executor_id, reason=worker.reason, jobs_count=len(taken)
        )
    return count


async def hand_back_own(engine: JobEngine, executor_id: str, job_ids: Iterable[UUID] | None = None) -> int:
    """Return jobs that this worker has let go of to their queues, without counting the attempt against them.

    Args:
        engine: The engine.
        executor_id: This worker.
        job_ids: Which; None: all it has claimed.
    """
    wanted = None if job_ids is None else {str(job_id) for job_id in job_ids}
    async with engine.database.transaction() as session:
        claimed = await engine.library.list_claimed(session, executor_id)
        mine = claimed if wanted is None else claimed & wanted
        await session.execute(
            update(JobRow)
            .where(
                JobRow.job_id.in_([job_id for text in mine if (job_id := _find_uuid(text))]),
                JobRow.executor_id == executor_id,
                JobRow.state == "running",
            )
            .values(
                state="queued",
                queued_at=func.clock_timestamp(),
                excused_count=func.least(JobRow.attempts_count, JobRow.excused_count + 1),
            )
        )
    returned = await engine.library.hand_back(executor_id, mine.__contains__)
    if returned:
        logger.info("worker.handed_back", executor_id=executor_id, jobs_count=len(returned))
    return len(returned)


class StuckSweep:
    """Finds jobs that this worker has claimed and is not at."""

    def __init__(self, engine: JobEngine, runner: JobRunner, executor_id: str) -> None:
        self._engine = engine
        self._runner = runner
        self._executor_id = executor_id
        self._seen_at_s: dict[str, float] = {}

    async def run(self) -> int:
        """Hand back what is stuck, and at once what the runner has let go of."""
        async with self._engine.database.transaction() as session:
            claimed = await self._engine.library.list_claimed(session, self._executor_id)
        now_s = time.monotonic()
        idle = {
            workflow_id
            for workflow_id in claimed
            if (job_id := _find_uuid(workflow_id)) is not None and not self._runner.is_running(job_id)
        }
        self._seen_at_s = {workflow_id: self._seen_at_s.get(workflow_id, now_s) for workflow_id in idle}
        stuck = {
            UUID(text) for text, seen_at_s in self._seen_at_s.items() if now_s - seen_at_s >= STUCK_AFTER_S
        }
        stuck |= self._runner.pop_abandoned() & {UUID(text) for text in idle}
        return await hand_back_own(self._engine, self._executor_id, stuck) if stuck else 0


async def reconcile(engine: JobEngine) -> int:
    """End our rows of jobs that are over for the library. Returns how many."""
    async with engine.database.transaction() as session:
        settled = await engine.library.list_settled(session, grace_s=RECONCILE_GRACE_S, limit=RECONCILE_LIMIT)
    count = 0
    for job in settled:
        state, error = _explain_settled(job)
        async with engine.database.transaction() as session:
            ended = await end_job(session, engine.library, engine.kinds, job.job_id, state=state, error=error)
        if ended is not None:
            count += 1
            logger.warning("job.reconciled", job_id=str(job.job_id), state=state, status=job.status)
    return count


async def delete_ended_jobs(engine: JobEngine, *, older_than_days: float, kind_prefix: str = "") -> int:
    """Delete top-level jobs that ended longer ago, with their children; never one that has not ended.

    Args:
        engine: The engine.
        older_than_days: Since their end, by the database's clock.
        kind_prefix: Only of kinds whose name begins so.

    Returns:
        Jobs deleted, children not counted.
    """
    deleted_count = 0
    while True:
        async with engine.database.transaction() as session:
            oldest = (
                select(JobRow.job_id)
                .where(_is_old(older_than_days, kind_prefix))
                .order_by(JobRow.finished_at)
                .limit(DELETE_BATCH_COUNT)
                .with_for_update(skip_locked=True)
            )
            job_ids = list((await session.scalars(oldest)).all())
            if not job_ids:
                return deleted_count
            await engine.library.delete([*job_ids, *await _list_descendants(session, job_ids)])
            await session.execute(delete(JobRow).where(JobRow.job_id.in_(job_ids)))
        deleted_count += len(job_ids)


async def count_old_jobs(
    database: Database, project_id: UUID, *, older_than_days: float, kind_prefix: str = ""
) -> tuple[int, datetime | None]:
    """Return how many top-level jobs of a project would go, and when the first of them ended."""
    statement = select(func.count(), func.min(JobRow.finished_at)).where(
        JobRow.project_id == project_id, _is_old(older_than_days, kind_prefix)
    )
    async with database.reading() as session:
        count, oldest_at = (await session.execute(statement)).one()
    return count, oldest_at


def _is_old(older_than_days: float, kind_prefix: str) -> ColumnElement[bool]:
    child = aliased(JobRow)
    open_children = select(child.job_id).where(
        child.parent_job_id == JobRow.job_id, child.state.not_in(ENDED_STATES)
    )
    return and_(
        JobRow.finished_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, older_than_days * 86_400),
        JobRow.state.in_(ENDED_STATES),
        JobRow.parent_job_id.is_(None),
        JobRow.kind.startswith(kind_prefix, autoescape=True),
        ~open_children.exists(),
    )


async def _list_descendants(session: AsyncSession, job_ids: list[UUID]) -> list[UUID]:
    found: list[UUID] = []
    level = job_ids
    while level:
        level = list(
            (await session.scalars(select(JobRow.job_id).where(JobRow.parent_job_id.in_(level)))).all()
        )
        found += level
    return found


def _explain_settled(job: SettledJob) -> tuple[JobState, JobError | None]:
    if job.status is None:
        return "failed", LOST
    if job.status == "CANCELLED":
        return "cancelled", None
    return "failed", LIBRARY_ERROR


def _find_uuid(text: str) -> UUID | None:
    """Return the id of our job; None for a workflow of the library that is none of ours, such as a schedule's."""
    try:
        return UUID(text)
    except ValueError:
        return None
