"""Submitting jobs: our row and the library's in one transaction, once per key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import Conflict, InvalidInput, TooManyRequests
from referee.core.findings import JsonValue
from referee.core.ids import format_id, new_id
from referee.foundation.jobs.kinds import KindRegistry, digest_arguments, to_json
from referee.foundation.jobs.library import JobLibrary, Queue
from referee.foundation.jobs.pauses import notify_queue
from referee.foundation.jobs.queries import read_job
from referee.foundation.jobs.states import ACTIVE_STATES, MAX_PRIORITY, ChildJob, Job, get_child_id
from referee.foundation.jobs.tables import JobRow

__all__ = ["submit_children", "submit_job"]

MAX_KEY_CHARACTERS = 500
MAX_TITLE_CHARACTERS = 500


async def submit_job(
    session: AsyncSession,
    library: JobLibrary,
    kinds: KindRegistry,
    queues: Mapping[str, Queue],
    *,
    kind: str,
    arguments: Mapping[str, JsonValue],
    project_id: UUID,
    key: str | None,
    priority: int,
    title: str,
) -> Job:
    """Insert a job in the session's transaction, or return the one that has the key already."""
    registered = kinds.get(kind)
    values = _values(kind, arguments, title, priority, registered.queue, project_id)
    if key is not None:
        _check_length("key", key, MAX_KEY_CHARACTERS)
        existing = await _find_by_key(session, project_id, key)
        if existing is not None:
            return _same_or_conflict(existing, values["arguments_digest"])
    await _check_room(session, queues[registered.queue])
    row = await session.scalar(
        insert(JobRow)
        .values(**values, job_id=new_id(), idempotency_key=key)
        .on_conflict_do_nothing(index_elements=["project_id", "idempotency_key"])
        .returning(JobRow)
    )
    if row is None:  # another transaction has committed the same key since we looked
        assert key is not None  # noqa: S101 - only a key can conflict
        winner = await _find_by_key(session, project_id, key)
        assert winner is not None  # noqa: S101 - the insert has waited for its commit
        return _same_or_conflict(winner, values["arguments_digest"])
    await _enqueue(session, library, [row])
    return read_job(row)


async def submit_children(
    session: AsyncSession,
    library: JobLibrary,
    kinds: KindRegistry,
    parent_job_id: UUID,
    children: Sequence[ChildJob],
) -> list[UUID]:
    """Insert the children of a running job that are not there yet. Returns the ids of all, in order.

    Raises:
        Conflict: The parent has ended, or a child exists with other arguments.
        InvalidInput: A child would wait on its parent's own queue.
    """
    parent = await session.scalar(
        select(JobRow).where(JobRow.job_id == parent_job_id).with_for_update(read=True, key_share=True)
    )
    if parent is None or parent.state not in ACTIVE_STATES:
        raise Conflict(
            "jobs.parent_ended", "The job has ended and can start no more children.", "Submit it again."
        )
    values = {
        get_child_id(parent_job_id, child.name): _child_values(kinds, parent, child) for child in children
    }
    if len(values) != len(children):
        raise InvalidInput(
            "jobs.child_names_equal",
            "Two children of one job have the same name.",
            "Name each child differently.",
        )
    inserted = (
        await session.scalars(
            insert(JobRow).on_conflict_do_nothing(index_elements=["job_id"]).returning(JobRow),
            [
                {**child, "job_id": job_id, "parent_job_id": parent_job_id}
                for job_id, child in sorted(values.items())
            ],
        )
    ).all()
    await _enqueue(session, library, inserted)
    digests = select(JobRow.job_id, JobRow.arguments_digest).where(JobRow.job_id.in_(values))
    known = {job_id: digest for job_id, digest in await session.execute(digests)}
    for job_id, child_values in values.items():
        if known.get(job_id) != child_values["arguments_digest"]:
            raise _other_arguments(job_id)
    return list(values)


async def _enqueue(session: AsyncSession, library: JobLibrary, rows: Sequence[JobRow]) -> None:
    for row in rows:
        job_id, queue, priority = row.job_id, row.queue, row.priority
        await session.run_sync(library.enqueue, job_id, queue=queue, priority=priority)
    for queue in {row.queue for row in rows}:
        await notify_queue(session, queue)


async def _find_by_key(session: AsyncSession, project_id: UUID, key: str) -> JobRow | None:
    return await session.scalar(
        select(JobRow).where(JobRow.project_id == project_id, JobRow.idempotency_key == key)
    )


def _same_or_conflict(row: JobRow, digest: str) -> Job:
    if row.arguments_digest != digest:
        raise _other_arguments(row.job_id)
    return read_job(row)


def _other_arguments(job_id: UUID) -> Conflict:
    return Conflict(
        "jobs.key_used_otherwise",
        f"The key belongs to {format_id('job', job_id)}, which has other arguments.",
        "Use a new key for a new job.",
        job_id=str(job_id),
    )


async def _check_room(session: AsyncSession, queue: Queue) -> None:
    """Refuse when the queue is full. Transactions under way do not see each other, so a few more may get in."""
    waiting = select(JobRow.job_id).where(JobRow.state == "queued", JobRow.queue == queue.name)
    bounded = waiting.limit(queue.max_waiting_count).subquery()
    count = await session.scalar(select(func.count()).select_from(bounded)) or 0
    if count >= queue.max_waiting_count:
        raise TooManyRequests(
            "jobs.queue_full",
            f"The queue {queue.name} is full: {count} jobs wait in it.",
            "Try again when some of them are done, or start another worker.",
            queue=queue.name,
            waiting_count=count,
        )


def _values(
    kind: str, arguments: Mapping[str, JsonValue], title: str, priority: int, queue: str, project_id: UUID
) -> dict[str, Any]:
    if not 1 <= priority <= MAX_PRIORITY:
        raise InvalidInput(
            "jobs.priority_invalid", f"The priority {priority} is out of range.", f"Give 1 to {MAX_PRIORITY}."
        )
    _check_length("title", title, MAX_TITLE_CHARACTERS)
    plain = to_json(dict(arguments), "the arguments of a job")
    assert isinstance(plain, dict)  # noqa: S101 - a dict stays one
    return {
        "kind": kind,
        "title": title,
        "queue": queue,
        "priority": priority,
        "project_id": project_id,
        "arguments_json": plain,
        "arguments_digest": digest_arguments(kind, plain),
    }


def _child_values(kinds: KindRegistry, parent: JobRow, child: ChildJob) -> dict[str, Any]:
    queue = child.queue or kinds.get(child.kind).queue
    if queue == parent.queue:
        raise InvalidInput(
            "jobs.child_on_parent_queue",
            f"A child of a job on the queue {queue} must not wait on the same queue.",
            "Register the kind of the child with another queue.",
        )
    return _values(child.kind, child.arguments, child.title, child.priority, queue, parent.project_id)


def _check_length(what: str, text: str, limit: int) -> None:
    if not 1 <= len(text) <= limit:
        raise InvalidInput(
            f"jobs.{what}_invalid",
            f"The {what} of a job has {len(text)} characters.",
            f"Give 1 to {limit} characters.",
        )
