"""The events of annotation queues: filling by filters, what waits, and what people said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.experiments.evaluators.verdicts import check_value
from referee.experiments.identifiers import make_not_found
from referee.experiments.queues import service
from referee.experiments.queues.tables import ITEM_STATES, AnnotationQueueEventRow, AnnotationQueueRow
from referee.experiments.runs.definitions import MetricDefinition
from referee.experiments.runs.definitions_store import list_definitions
from referee.experiments.runs.matching import matches_filters
from referee.foundation.store import Database, decode_cursor, encode_cursor
from referee.traces import list_events_by_id, parse_event_filters, update_event

__all__ = [
    "QueueItem",
    "count_items",
    "fill_queues",
    "find_waiting_item",
    "get_item",
    "list_human_metrics",
    "list_items",
    "review_item",
]

MAX_FILLED_QUEUES_COUNT: Final = 100
"""Of one project: those that were made last."""
MAX_NOTE_CHARACTERS: Final = 10_000
_SORT: Final = "annotation_queue_events"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueItem:
    """One event of a queue."""

    event_id: str
    state: str
    """waiting, done or skipped."""
    origin: str
    """by_hand, or by_filter."""
    added_at: datetime
    reviewed_at: datetime | None


async def fill_queues(database: Database, project_id: UUID, event_ids: Sequence[str]) -> None:
    """Put events into each enabled queue whose filters they meet. Call it when they are stored.

    A queue without filters is filled by hand only; one that is full takes no more.
    """
    async with database.reading() as session:
        statement = (
            select(AnnotationQueueRow.annotation_queue_id, AnnotationQueueRow.filters_json)
            .where(AnnotationQueueRow.project_id == project_id, AnnotationQueueRow.is_enabled)
            .order_by(AnnotationQueueRow.annotation_queue_id.desc())
            .limit(MAX_FILLED_QUEUES_COUNT)
        )
        queues = (await session.execute(statement)).all()
    wanted = {queue_id: raw["filterArray"] for queue_id, raw in queues if raw.get("filterArray")}
    if not wanted or not event_ids:
        return
    events = await list_events_by_id(database, project_id, event_ids)
    for queue_id, raw in wanted.items():
        try:
            filters = parse_event_filters(raw)
        except InvalidInput as error:
            log.warning("queue.filters_unreadable", annotation_queue_id=str(queue_id), reason=error.message)
            continue
        matching = [event.event_id for event in events if matches_filters(event, filters)]
        if matching:
            async with database.transaction() as session:
                await service.add_events(session, project_id, queue_id, matching, origin="by_filter")


async def list_items(
    session: AsyncSession,
    project_id: UUID,
    queue_id: UUID,
    *,
    state: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[QueueItem]:
    """Return events of a queue, those that came first before others.

    Raises:
        InvalidInput: There is no such state.
    """
    row = AnnotationQueueEventRow
    conditions = [row.project_id == project_id, row.annotation_queue_id == queue_id]
    if state is not None:
        conditions.append(row.state == check_state(state))
    total_count = await session.scalar(select(func.count()).select_from(row).where(*conditions)) or 0
    statement = select(row).where(*conditions).order_by(row.added_at, row.event_id).limit(limit + 1)
    if cursor is not None:
        added_at, event_id = decode_cursor(cursor, _SORT)
        after = (datetime.fromisoformat(str(added_at)), str(event_id))
        statement = statement.where(tuple_(row.added_at, row.event_id) > after)
    rows = list((await session.scalars(statement)).all())
    kept = rows[:limit]
    next_cursor = None
    if len(rows) > limit:
        next_cursor = encode_cursor(_SORT, [kept[-1].added_at.isoformat(), kept[-1].event_id])
    return Page(tuple(_view(one) for one in kept), total_count, limit, next_cursor)


async def get_item(session: AsyncSession, project_id: UUID, queue_id: UUID, event_id: str) -> QueueItem:
    """Return one event of a queue.

    Raises:
        NotFound: It is not in the queue.
    """
    row = await session.get(AnnotationQueueEventRow, (queue_id, event_id), populate_existing=True)
    if row is None or row.project_id != project_id:
        raise make_not_found("annotation_queue_event", event_id)
    return _view(row)


async def find_waiting_item(
    session: AsyncSession, project_id: UUID, queue_id: UUID, *, after: str | None = None
) -> QueueItem | None:
    """Return the event that is to be looked at next; None when none waits.

    Args:
        session: To read with.
        project_id: Whose.
        queue_id: Of which queue.
        after: The one that comes after this event; the first again when it was the last.
    """
    row = AnnotationQueueEventRow
    statement = (
        select(row)
        .where(row.project_id == project_id, row.annotation_queue_id == queue_id, row.state == "waiting")
        .order_by(row.added_at, row.event_id)
        .limit(1)
    )
    if after is not None:
        present = await get_item(session, project_id, queue_id, after)
        later = statement.where(tuple_(row.added_at, row.event_id) > (present.added_at, present.event_id))
        found = await session.scalar(later)
        if found is not None:
            return _view(found)
    found = await session.scalar(statement)
    return None if found is None else _view(found)


async def count_items(session: AsyncSession, project_id: UUID, queue_id: UUID) -> dict[str, int]:
    """Return how many events of a queue are in each state."""
    row = AnnotationQueueEventRow
    statement = (
        select(row.state, func.count())
        .where(row.project_id == project_id, row.annotation_queue_id == queue_id)
        .group_by(row.state)
    )
    found = {state: count for state, count in await session.execute(statement)}
    return {state: found.get(state, 0) for state in ITEM_STATES}


async def list_human_metrics(session: AsyncSession, project_id: UUID) -> list[MetricDefinition]:
    """Return the metrics that people score, by name."""
    return [one for one in await list_definitions(session, project_id) if one.type == "HUMAN"]


async def review_item(
    database: Database,
    project_id: UUID,
    queue_id: UUID,
    event_id: str,
    *,
    state: str,
    scores: Mapping[str, JsonValue] | None = None,
    note: str = "",
) -> QueueItem:
    """Write what a person said of an event, and that it was looked at. Doing so again changes it.

    Scores of HUMAN metrics go into the event's metrics, a note into ``feedback.note``. The event comes
    first: what counts as done is always visible on its event.

    Args:
        database: Where events and queues are.
        project_id: Whose.
        queue_id: Of which queue.
        event_id: Of which event.
        state: waiting, done or skipped.
        scores: By the name of a HUMAN metric.
        note: In words.

    Raises:
        NotFound: There is no such event in the queue, or it is gone.
        InvalidInput: A score is not one that its metric may give.
    """
    check_state(state)
    async with database.reading() as session:
        await get_item(session, project_id, queue_id, event_id)
        metrics = {one.name: one for one in await list_human_metrics(session, project_id)}
    checked = {name: _check_score(metrics, name, value) for name, value in (scores or {}).items()}
    changes: dict[str, JsonValue] = {}
    if checked:
        changes["metrics"] = checked
    if note.strip():
        changes["feedback"] = {"note": note.strip()[:MAX_NOTE_CHARACTERS]}
    if changes:
        await update_event(database, project_id, event_id, changes)
    row = AnnotationQueueEventRow
    async with database.transaction() as session:
        await session.execute(
            update(row)
            .where(
                row.project_id == project_id, row.annotation_queue_id == queue_id, row.event_id == event_id
            )
            .values(state=state, reviewed_at=None if state == "waiting" else func.clock_timestamp())
        )
        return await get_item(session, project_id, queue_id, event_id)


def check_state(state: str) -> str:
    """Return the state.

    Raises:
        InvalidInput: There is none of that name.
    """
    if state not in ITEM_STATES:
        raise InvalidInput(
            "annotation_queue.state_unknown",
            f"There is no state {state[:40]!r}.",
            f"States are: {', '.join(ITEM_STATES)}.",
        )
    return state


def _check_score(metrics: Mapping[str, MetricDefinition], name: str, value: JsonValue) -> JsonValue:
    definition = metrics.get(name)
    if definition is None:
        raise InvalidInput(
            "annotation_queue.metric_unknown",
            f"There is no HUMAN metric {name[:80]!r}.",
            f"People score: {', '.join(metrics)[:400] or 'nothing yet'}.",
        )
    score, reason = check_value(definition, value)
    if score is None:
        raise InvalidInput(
            "annotation_queue.score_invalid",
            f"The score of {name[:80]!r} is not one that it may have: {reason}",
            "Give a score of the metric's type and scale, or none.",
        )
    return score


def _view(row: Any) -> QueueItem:
    return QueueItem(
        event_id=row.event_id,
        state=row.state,
        origin=row.origin,
        added_at=row.added_at,
        reviewed_at=row.reviewed_at,
    )
