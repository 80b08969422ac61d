"""Reads of jobs, queues and workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput, NotFound
from referee.core.ids import format_id
from referee.core.pages import DEFAULT_LIMIT, MAX_LIMIT, Page
from referee.foundation.jobs.states import Job, JobError, JobProgress, JobState, Worker
from referee.foundation.jobs.tables import JobRow, WorkerLeaseRow
from referee.foundation.store import decode_cursor, encode_cursor

__all__ = [
    "count_jobs",
    "get_job",
    "get_queue_ages_s",
    "list_jobs",
    "list_workers",
    "queue_age_s",
    "read_job",
    "waiting_count",
]

LIST_SORT = "created_at"


def read_job(row: JobRow) -> Job:
    """Return the job in a row."""
    return Job(
        job_id=row.job_id,
        project_id=row.project_id,
        kind=row.kind,
        title=row.title,
        state=row.state,  # type: ignore[arg-type]  # a CHECK holds the words
        queue=row.queue,
        priority=row.priority,
        key=row.idempotency_key,
        arguments=row.arguments_json,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        attempts_count=row.attempts_count,
        progress=None if row.progress_json is None else JobProgress(**row.progress_json),
        result=row.result_json,
        error=None if row.error_json is None else JobError(**row.error_json),
        executor_id=row.executor_id,
        parent_job_id=row.parent_job_id,
    )


async def get_job(session: AsyncSession, job_id: UUID, *, project_id: UUID | None = None) -> Job:
    """Return one job.

    Raises:
        NotFound: No job has that id, in the project if one is given.
    """
    row = await session.get(JobRow, job_id, populate_existing=True)
    if row is None or (project_id is not None and row.project_id != project_id):
        raise NotFound(
            "jobs.not_found",
            f"There is no {format_id('job', job_id)}.",
            "List the jobs with `referee job list`; ended ones are deleted after some time.",
        )
    return read_job(row)


async def list_jobs(
    session: AsyncSession,
    *,
    where: Sequence[ColumnElement[bool]] = (),
    project_id: UUID | None = None,
    states: Sequence[JobState] = (),
    kinds: Sequence[str] = (),
    queue: str | None = None,
    text: str | None = None,
    parent_job_id: UUID | None = None,
    has_parent: bool | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Job]:
    """Return a page of jobs, newest first.

    Args:
        session: Reads it.
        where: Further conditions on ``JobRow``, such as those of a filter.
        project_id: Of this project only.
        states: In one of these states; empty: all.
        kinds: Of one of these kinds; empty: all.
        queue: Of this queue only.
        text: Part of the title, in any case.
        parent_job_id: Children of this job only.
        has_parent: True: children only; False: none of them.
        limit: Rows of the page, 1 … ``MAX_LIMIT``.
        cursor: ``next_cursor`` of the page before.

    Raises:
        InvalidInput: The limit is out of range, or the cursor is not one of this list.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput(
            "page.limit_invalid",
            f"A page of {limit} rows is not possible.",
            f"Ask for 1 to {MAX_LIMIT} rows.",
        )
    conditions = [
        *where,
        *_conditions(project_id, states, kinds, queue, text, parent_job_id, has_parent),
    ]
    total_count = await _count(session, conditions)
    query = select(JobRow).where(*conditions)
    if cursor is not None:
        created_at, job_id = _read_cursor(cursor)
        query = query.where(tuple_(JobRow.created_at, JobRow.job_id) < tuple_(created_at, job_id))
    query = query.order_by(JobRow.created_at.desc(), JobRow.job_id.desc()).limit(limit + 1)
    rows = (await session.scalars(query)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        items=tuple(read_job(row) for row in rows[:limit]),
        total_count=total_count,
        limit=limit,
        next_cursor=None
        if last is None
        else encode_cursor(LIST_SORT, [last.created_at.isoformat(), str(last.job_id)]),
    )


async def count_jobs(
    session: AsyncSession,
    *,
    where: Sequence[ColumnElement[bool]] = (),
    project_id: UUID | None = None,
    states: Sequence[JobState] = (),
    kinds: Sequence[str] = (),
    queue: str | None = None,
    text: str | None = None,
    parent_job_id: UUID | None = None,
    has_parent: bool | None = None,
) -> int:
    """Return how many jobs there are; the arguments are those of ``list_jobs``."""
    conditions = _conditions(project_id, states, kinds, queue, text, parent_job_id, has_parent)
    return await _count(session, [*where, *conditions])


async def list_workers(session: AsyncSession) -> list[Worker]:
    """Return the workers with a live lease, the longest running first."""
    running = (
        select(JobRow.executor_id, func.count().label("running_count"))
        .where(JobRow.state == "running")
        .group_by(JobRow.executor_id)
        .subquery()
    )
    rows = await session.execute(
        select(WorkerLeaseRow, func.coalesce(running.c.running_count, 0))
        .outerjoin(running, running.c.executor_id == WorkerLeaseRow.executor_id)
        .where(WorkerLeaseRow.expires_at > func.clock_timestamp())
        .order_by(WorkerLeaseRow.started_at, WorkerLeaseRow.executor_id)
    )
    return [
        Worker(
            executor_id=lease.executor_id,
            kind=lease.kind,
            host=lease.host,
            pid=lease.pid,
            started_at=lease.started_at,
            renewed_at=lease.renewed_at,
            expires_at=lease.expires_at,
            running_count=running_count,
        )
        for lease, running_count in rows
    ]


async def waiting_count(session: AsyncSession, queue: str | None = None) -> int:
    """Return how many jobs wait, in one queue or in all."""
    conditions: list[ColumnElement[bool]] = [JobRow.state == "queued"]
    if queue is not None:
        conditions.append(JobRow.queue == queue)
    return await _count(session, conditions)


async def get_queue_ages_s(session: AsyncSession) -> dict[str, float]:
    """Return, for each queue with waiting jobs, how long the oldest of them has waited."""
    age_s = func.extract("epoch", func.clock_timestamp() - func.min(JobRow.queued_at))
    rows = await session.execute(
        select(JobRow.queue, age_s).where(JobRow.state == "queued").group_by(JobRow.queue)
    )
    return {queue: max(0.0, float(age)) for queue, age in rows}


async def queue_age_s(session: AsyncSession, queue: str | None = None) -> float:
    """Return how long the oldest waiting job has waited; 0 when none waits."""
    ages_s = await get_queue_ages_s(session)
    return max(ages_s.values(), default=0.0) if queue is None else ages_s.get(queue, 0.0)


async def _count(session: AsyncSession, conditions: Sequence[ColumnElement[bool]]) -> int:
    return (await session.scalar(select(func.count()).select_from(JobRow).where(*conditions))) or 0


def _conditions(
    project_id: UUID | None,
    states: Sequence[JobState],
    kinds: Sequence[str],
    queue: str | None,
    text: str | None,
    parent_job_id: UUID | None,
    has_parent: bool | None,
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if project_id is not None:
        conditions.append(JobRow.project_id == project_id)
    if states:
        conditions.append(JobRow.state.in_(states))
    if kinds:
        conditions.append(JobRow.kind.in_(kinds))
    if queue is not None:
        conditions.append(JobRow.queue == queue)
    if text:
        conditions.append(JobRow.title.icontains(text, autoescape=True))
    if parent_job_id is not None:
        conditions.append(JobRow.parent_job_id == parent_job_id)
    if has_parent is not None:
        conditions.append(JobRow.parent_job_id.is_not(None) if has_parent else JobRow.parent_job_id.is_(None))
    return conditions


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    created_at, job_id = decode_cursor(cursor, LIST_SORT)
    return datetime.fromisoformat(str(created_at)), UUID(str(job_id))
