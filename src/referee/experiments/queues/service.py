"""Verbs and reads of annotation queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.experiments.creations import claim_creation
from referee.experiments.identifiers import make_not_found
from referee.experiments.listing import list_newest
from referee.experiments.queues.tables import AnnotationQueueEventRow, AnnotationQueueRow
from referee.experiments.queues.views import AnnotationQueue

__all__ = [
    "add_events",
    "count_queues",
    "create_queue",
    "delete_queue",
    "get_queue",
    "list_queue_event_ids",
    "list_queues",
    "update_queue",
]

MAX_EVENTS_COUNT = 10_000
"""Of one queue: more than people look at."""


async def list_queues(
    session: AsyncSession, project_id: UUID, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[AnnotationQueue]:
    """Return queues, newest first."""
    where = [AnnotationQueueRow.project_id == project_id]
    page = await list_newest(
        session,
        AnnotationQueueRow,
        AnnotationQueueRow.annotation_queue_id,
        where,
        cursor=cursor,
        limit=limit,
    )
    counts = await _count_events(session, [row.annotation_queue_id for row in page.items])
    return page.map(lambda row: _view(row, counts.get(row.annotation_queue_id, 0)))


async def count_queues(session: AsyncSession, project_id: UUID) -> int:
    """Return how many queues a project has."""
    statement = select(func.count()).select_from(AnnotationQueueRow)
    return await session.scalar(statement.where(AnnotationQueueRow.project_id == project_id)) or 0


async def get_queue(session: AsyncSession, project_id: UUID, queue_id: UUID) -> AnnotationQueue:
    """Return a queue.

    Raises:
        NotFound: The project has none of that id.
    """
    row = await _get_row(session, project_id, queue_id)
    return _view(row, (await _count_events(session, [queue_id])).get(queue_id, 0))


async def list_queue_event_ids(session: AsyncSession, project_id: UUID, queue_id: UUID) -> list[str]:
    """Return the events that were put into a queue by their ids, oldest first."""
    statement = (
        select(AnnotationQueueEventRow.event_id)
        .where(
            AnnotationQueueEventRow.project_id == project_id,
            AnnotationQueueEventRow.annotation_queue_id == queue_id,
        )
        .order_by(AnnotationQueueEventRow.added_at, AnnotationQueueEventRow.event_id)
        .limit(MAX_EVENTS_COUNT)
    )
    return list((await session.scalars(statement)).all())


async def create_queue(
    session: AsyncSession,
    project_id: UUID,
    *,
    name: str,
    description: str = "",
    filters: dict[str, Any],
    is_enabled: bool = True,
    event_ids: Sequence[str] = (),
    idempotency_key: str | None = None,
) -> AnnotationQueue:
    """Create a queue, with events or without any.

    Raises:
        InvalidInput: There are too many events.
        Conflict: The key was used for another creation.
    """
    content: dict[str, Any] = {
        "name": name,
        "description": description,
        "filters_json": filters,
        "is_enabled": is_enabled,
    }
    asked: dict[str, Any] = {**content, "event_ids": list(event_ids)}
    queue_id, is_new = await claim_creation(session, project_id, "annotation_queue", idempotency_key, asked)
    if is_new:
        session.add(AnnotationQueueRow(annotation_queue_id=queue_id, project_id=project_id, **content))
        await session.flush()
        await add_events(session, project_id, queue_id, event_ids)
    return await get_queue(session, project_id, queue_id)


async def update_queue(
    session: AsyncSession,
    project_id: UUID,
    queue_id: UUID,
    changes: dict[str, Any],
    *,
    add_event_ids: Sequence[str] = (),
    remove_event_ids: Sequence[str] = (),
) -> AnnotationQueue:
    """Change what is given, put events in and take events out.

    Args:
        session: In a transaction.
        project_id: Whose.
        queue_id: Which.
        changes: Names and values of columns; what is not named stays.
        add_event_ids: Events to put in; those that are in stay.
        remove_event_ids: Events to take out; those that are not in do not matter.

    Raises:
        NotFound: There is no such queue.
        InvalidInput: There are too many events.
    """
    row = await _get_row(session, project_id, queue_id, is_locked=True)
    for name, value in changes.items():
        setattr(row, name, value)
    row.updated_at = await session.scalar(select(func.clock_timestamp()))
    await session.flush()
    if remove_event_ids:
        await session.execute(
            delete(AnnotationQueueEventRow).where(
                AnnotationQueueEventRow.annotation_queue_id == queue_id,
                AnnotationQueueEventRow.event_id.in_(remove_event_ids),
            )
        )
    await add_events(session, project_id, queue_id, add_event_ids)
    return await get_queue(session, project_id, queue_id)


async def delete_queue(session: AsyncSession, project_id: UUID, queue_id: UUID) -> None:
    """Delete a queue; its events stay.

    Raises:
        NotFound: There is no such queue.
    """
    gone = await session.scalar(
        delete(AnnotationQueueRow)
        .where(
            AnnotationQueueRow.project_id == project_id, AnnotationQueueRow.annotation_queue_id == queue_id
        )
        .returning(AnnotationQueueRow.annotation_queue_id)
    )
    if gone is None:
        raise make_not_found("annotation_queue", queue_id)


async def add_events(
    session: AsyncSession,
    project_id: UUID,
    queue_id: UUID,
    event_ids: Sequence[str],
    *,
    origin: str = "by_hand",
) -> int:
    """Put events into a queue; those that are in stay. Returns how many are new.

    Those put in by hand that are too many are refused; of those that filters find as many are taken as fit.

    Args:
        session: In a transaction.
        project_id: Whose.
        queue_id: Which; there is one.
        event_ids: Of the events.
        origin: ``by_hand``, or ``by_filter``.

    Raises:
        InvalidInput: There are too many events.
    """
    if not event_ids:
        return 0
    present = (await _count_events(session, [queue_id])).get(queue_id, 0)
    wanted = list(dict.fromkeys(event_ids))
    if origin == "by_filter":
        wanted = wanted[: max(0, MAX_EVENTS_COUNT - present)]
    elif present + len(wanted) > MAX_EVENTS_COUNT:
        raise InvalidInput(
            "annotation_queue.too_large",
            f"A queue has at most {MAX_EVENTS_COUNT:,} events.",
            "Put them into several queues.",
        )
    rows = [
        {"annotation_queue_id": queue_id, "event_id": one, "project_id": project_id, "origin": origin}
        for one in wanted
    ]
    if not rows:
        return 0
    statement = insert(AnnotationQueueEventRow).on_conflict_do_nothing()
    made = await session.scalars(statement.returning(AnnotationQueueEventRow.event_id), rows)
    return len(made.all())


async def _get_row(
    session: AsyncSession, project_id: UUID, queue_id: UUID, *, is_locked: bool = False
) -> AnnotationQueueRow:
    statement = select(AnnotationQueueRow).where(
        AnnotationQueueRow.project_id == project_id, AnnotationQueueRow.annotation_queue_id == queue_id
    )
    if is_locked:
        statement = statement.with_for_update()
    row = await session.scalar(statement)
    if row is None:
        raise make_not_found("annotation_queue", queue_id)
    return row


async def _count_events(session: AsyncSession, queue_ids: Sequence[UUID]) -> dict[UUID, int]:
    statement = (
        select(AnnotationQueueEventRow.annotation_queue_id, func.count())
        .where(AnnotationQueueEventRow.annotation_queue_id.in_(queue_ids))
        .group_by(AnnotationQueueEventRow.annotation_queue_id)
    )
    return {queue_id: count for queue_id, count in await session.execute(statement)}


def _view(row: AnnotationQueueRow, events_count: int) -> AnnotationQueue:
    return AnnotationQueue(
        annotation_queue_id=row.annotation_queue_id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        filters=row.filters_json,
        is_enabled=row.is_enabled,
        events_count=events_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
