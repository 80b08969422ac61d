"""Running jobs: what happens between the library's call and the job's final state."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import RefereeError
from referee.core.findings import JsonValue
from referee.foundation.jobs import metrics
from referee.foundation.jobs.context import JobContext
from referee.foundation.jobs.ending import end_job
from referee.foundation.jobs.faults import describe_error, is_database_loss, persist
from referee.foundation.jobs.kinds import Kind, to_json
from referee.foundation.jobs.leases import Lease
from referee.foundation.jobs.library import JOB_DISOWNED
from referee.foundation.jobs.queries import read_job
from referee.foundation.jobs.states import ENDED_STATES, Job, JobError, JobState
from referee.foundation.jobs.tables import JobRow

if TYPE_CHECKING:
    from referee.foundation.jobs.engine import JobEngine

__all__ = ["JobRunner"]

logger = structlog.get_logger(__name__)

CANCEL_PATIENCE_S: Final = 10.0
"""How long ended tasks may take to clean up, such as to end a tool's processes."""

Outcome = dict[str, JsonValue]


class JobRunner:
    """Runs the jobs that the library hands to this worker."""

    def __init__(self, engine: JobEngine, lease: Lease) -> None:
        self._engine = engine
        self._lease = lease
        self._tasks: dict[asyncio.Task[object], UUID] = {}
        self._abandoned: set[UUID] = set()
        self._is_stopping = False

    def is_running(self, job_id: UUID) -> bool:
        """Whether a task of this worker is at it."""
        return job_id in self._tasks.values()

    @property
    def running_count(self) -> int:
        """Jobs this worker is at."""
        return len(self._tasks)

    def pop_abandoned(self) -> set[UUID]:
        """Return the jobs this worker has let go of and that have to go back to their queues."""
        abandoned, self._abandoned = self._abandoned, set()
        return {job_id for job_id in abandoned if not self.is_running(job_id)}

    def refuse_more(self) -> None:
        """Start no further job; what the library still hands over stays claimed until it is handed back."""
        self._is_stopping = True

    async def wait_until_idle(self, timeout_s: float) -> None:
        """Return when no job runs, or when the time is up."""
        if self._tasks and timeout_s > 0:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    async def interrupt_all(self) -> bool:
        """Cancel what runs, so that tools end. Their jobs stay unfinished. False when some would not end."""
        tasks = list(self._tasks)
        self._abandoned.update(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_PATIENCE_S)
        return not self._tasks

    async def run(self, workflow_id: str) -> Outcome:
        """Run one job to its end. Called by the library, once per attempt."""
        job_id = UUID(workflow_id)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the library runs each job in a task
        self._tasks[task] = job_id
        try:
            if self._is_stopping:
                raise self._abandon(job_id)
            if not self._lease.is_held:
                await self._lease.wait_until_held()
                raise self._abandon(job_id)  # another worker may have it by now
            started = await persist(lambda: self._start(job_id))
            if isinstance(started, dict):
                return started
            return await self._run_attempt(started)
        finally:
            del self._tasks[task]
            self._engine.ring()

    async def _start(self, job_id: UUID) -> JobContext | Outcome:
        """Note the start of an attempt; the outcome instead when there is nothing to run."""
        engine = self._engine
        async with engine.database.transaction() as session:
            row = await session.scalar(
                select(JobRow).where(JobRow.job_id == job_id).with_for_update(key_share=True)
            )
            if row is None:
                logger.error("job.unknown", job_id=str(job_id))
                return {"state": "failed"}
            if row.state in ENDED_STATES:
                return _outcome(read_job(row))
            kind = engine.kinds.find(row.kind)
            refusal = _refuse(row, kind)
            if refusal is not None:
                ended = await end_job(
                    session, engine.library, engine.kinds, job_id, state="failed", error=refusal
                )
                return {"state": "failed"} if ended is None else _outcome(ended)
            metrics.WAIT_SECONDS.labels(queue=row.queue).observe(await _read_wait_s(session, row))
            job = await self._note_start(session, row)
        logger.info("job.started", job_id=str(job_id), kind=job.kind, attempt=job.attempts_count)
        return JobContext(engine, job)

    async def _note_start(self, session: AsyncSession, row: JobRow) -> Job:
        updated = await session.scalars(
            update(JobRow)
            .where(JobRow.job_id == row.job_id)
            .values(
                state="running",
                attempts_count=JobRow.attempts_count + 1,
                executor_id=self._lease.executor_id,
                started_at=func.coalesce(JobRow.started_at, func.clock_timestamp()),
            )
            .returning(JobRow),
            execution_options={"populate_existing": True},
        )
        return read_job(updated.one())

    async def _run_attempt(self, context: JobContext) -> Outcome:
        job = context.job
        kind = self._engine.kinds.get(job.kind)
        limit = asyncio.timeout(self._remaining_s(job, kind))
        state: JobState = "failed"
        result: JsonValue = None
        error: JobError | None = None
        try:
            async with limit:
                result = to_json(
                    await kind.function(context, dict(job.arguments)), f"the result of a {kind.name} job"
                )
            state = "succeeded"
        except JOB_DISOWNED as reason:
            logger.info("job.disowned", job_id=str(job.job_id), reason=type(reason).__name__)
            raise
        except asyncio.CancelledError:
            if _is_cancelled_from_outside():
                raise
            logger.exception("job.crashed", job_id=str(job.job_id), kind=job.kind)
            error = JobError(
                code="jobs.crashed", message="The job cancelled itself.", hint="The log has the traceback."
            )
        except Exception as fault:
            if is_database_loss(fault):
                raise self._abandon(job.job_id) from fault
            error = self._explain(fault, job, kind, is_timeout=limit.expired())
        finally:
            await context.settle_progress()
        return await self._finish(job, state, result if isinstance(result, Mapping) else None, error)

    def _explain(self, fault: Exception, job: Job, kind: Kind, *, is_timeout: bool) -> JobError:
        if isinstance(fault, TimeoutError) and is_timeout:
            return JobError(
                code="jobs.timed_out",
                message=f"The job took longer than {kind.timeout_s:g} s.",
                hint="Submit it again, or with less to do.",
            )
        if not isinstance(fault, RefereeError):
            logger.error("job.crashed", job_id=str(job.job_id), kind=job.kind, exc_info=fault)
        return describe_error(fault, code="jobs.crashed", subject="The job")

    async def _finish(
        self, job: Job, state: JobState, result: Mapping[str, JsonValue] | None, error: JobError | None
    ) -> Outcome:
        """Write the final state; when the row is not ours any more, return what it says."""
        engine = self._engine

        async def write() -> Job:
            async with engine.database.transaction() as session:
                ended = await end_job(
                    session,
                    engine.library,
                    engine.kinds,
                    job.job_id,
                    state=state,
                    result=result,
                    error=error,
                    executor_id=self._lease.executor_id,
                )
                row = await session.get(JobRow, job.job_id, populate_existing=True)
                assert row is not None  # noqa: S101 - retention deletes ended jobs only
                return ended or read_job(row)

        return _outcome(await persist(write))

    def _remaining_s(self, job: Job, kind: Kind) -> float | None:
        if kind.timeout_s is None or job.started_at is None:
            return None
        deadline = job.started_at + timedelta(seconds=kind.timeout_s)
        return max(0.0, (deadline - self._engine.clock.now()).total_seconds())

    def _abandon(self, job_id: UUID) -> asyncio.CancelledError:
        """Return what ends this attempt without an outcome, after noting that the job goes back to its queue."""
        self._abandoned.add(job_id)
        return asyncio.CancelledError("the job goes back to its queue")


def _refuse(row: JobRow, kind: Kind | None) -> JobError | None:
    """Return why a job is not begun again, or None."""
    if kind is None:
        return JobError(
            code="jobs.kind_unknown",
            message=f"No kind of job is called {row.kind} here.",
            hint="Run workers of the release that submitted it.",
        )
    lost_count = row.attempts_count - row.excused_count
    if lost_count >= kind.max_attempts:
        return JobError(
            code="jobs.attempts_exhausted",
            message=f"The job was begun {lost_count} times without progress, and each time its worker was lost.",
            hint="Look into the log of the workers for what ended them, then submit it again.",
        )
    return None


async def _read_wait_s(session: AsyncSession, row: JobRow) -> float:
    waited = await session.scalar(select(func.extract("epoch", func.clock_timestamp() - row.queued_at)))
    return max(0.0, float(waited or 0.0))


def _is_cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _outcome(job: Job) -> Outcome:
    """Return what the library keeps: enough to know the end, the rest is in our row."""
    error = None if job.error is None else asdict(job.error)
    return {"state": job.state, "error": error}
