"""The room's verbs: start sessions, take events in, change, find and delete them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput, NotFound
from referee.core.findings import JsonValue
from referee.foundation.store import Database
from referee.traces.arriving import build_event, build_session
from referee.traces.event_filters import EventFilter, build_conditions
from referee.traces.events import NS_PER_MS, Event, read_events, select_spans
from referee.traces.identity import MAX_ID_CHARACTERS, compute_uid, show_id
from referee.traces.ingesting import tell_observers
from referee.traces.queries import count_all_events
from referee.traces.room import TracesRoom
from referee.traces.rows import NewSpan
from referee.traces.storing import Arrival, store_arrivals
from referee.traces.tables import SessionRow, SpanRow
from referee.traces.updating import WRITERS_LOCK, keep_update
from referee.traces.updating import change_event as merge_changes

__all__ = [
    "MAX_EXPORT_LIMIT",
    "EventBatch",
    "EventPage",
    "change_event",
    "create_events",
    "get_event",
    "list_events",
    "list_events_by_id",
    "list_run_events",
    "start_session",
    "update_event",
]

MAX_EXPORT_LIMIT: Final = 7_500
MAX_RUN_EVENTS: Final = 100_000
MAX_BATCH_EVENTS: Final = 10_000
IDS_PER_STATEMENT: Final = 1_000


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some of the events that match."""

    events: list[Event]
    total_count: int


@dataclass(frozen=True, slots=True)
class EventBatch:
    """What became of events that were sent together."""

    event_ids: list[str]
    session_id: str | None
    """The one session of all; None when each has its own."""


async def start_session(room: TracesRoom, project_id: UUID, body: Mapping[str, JsonValue]) -> Event:
    """Start a session, or add to one that was started: metadata and user properties are merged.

    Raises:
        InvalidInput: A time or a text is not usable.
        TooManyRequests: More arrives than can be written.
    """
    row = build_session(project_id.hex, body)
    await _write(room, project_id, [row], [body])
    return await get_event(room.database, project_id, row.shown_id)


async def create_events(
    room: TracesRoom,
    project_id: UUID,
    bodies: Sequence[Mapping[str, JsonValue]],
    *,
    session_id: str | None = None,
    is_single_session: bool = False,
    session_properties: Mapping[str, JsonValue] | None = None,
) -> EventBatch:
    """Take in events. One whose id is known already gets what it lacks: sent twice, it is there once.

    Args:
        room: Where to.
        project_id: Whose events.
        bodies: As the API takes them.
        session_id: The session of all of them, whatever they say.
        is_single_session: Whether those without a session share one.
        session_properties: Of that session's own event: session_name, user_properties, metadata, start_time.

    Raises:
        InvalidInput: One of them is not usable; none is kept.
        TooManyRequests: More arrives than can be written; none is kept.
    """
    if not bodies or len(bodies) > MAX_BATCH_EVENTS:
        raise InvalidInput(
            "events.count_invalid",
            f"A batch has {len(bodies)} events.",
            f"Send 1 to {MAX_BATCH_EVENTS} at once.",
        )
    if session_id is None and is_single_session:
        named = next((body.get("session_id") for body in bodies if body.get("session_id")), None)
        session_id = str(named) if named else str(uuid4())
    whole = [dict(body) if session_id is None else {**body, "session_id": session_id} for body in bodies]
    rows = [build_event(project_id.hex, body) for body in whole]
    if session_properties is not None and session_id is not None:
        opening: dict[str, JsonValue] = {**session_properties, "session_id": session_id}
        rows.append(build_session(project_id.hex, opening))
        whole.append(opening)
    await _write(room, project_id, rows, whole)
    count = len(bodies)
    return EventBatch(
        [row.shown_id for row in rows[:count]],
        session_id,
    )


async def _write(
    room: TracesRoom, project_id: UUID, rows: Sequence[NewSpan], bodies: Sequence[Mapping[str, JsonValue]]
) -> None:
    arrival = Arrival(project_id.hex, list(rows))
    await room.writer.write(arrival)
    known = set(arrival.known_uids)
    repeated: list[tuple[NewSpan, Mapping[str, JsonValue]]] = []
    for row, body in zip(rows, bodies, strict=True):
        if row.span_uid in known:
            repeated.append((row, body))
        known.add(row.span_uid)
    if repeated:
        async with room.database.transaction() as session:
            for row, body in repeated:
                await merge_changes(session, project_id, row.shown_id, _clean_changes(body))
    await tell_observers(room, project_id, arrival)


def _clean_changes(body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return what a second sending of an event changes: not its ids, type or name."""
    fixed = {"event_id", "session_id", "event_type", "event_name", "session_name", "parent_id", "start_time"}
    return {key: value for key, value in body.items() if key not in fixed and value is not None}


async def update_event(
    database: Database, project_id: UUID, event_id: str, changes: Mapping[str, JsonValue]
) -> bool:
    """Merge changes into an event. False: it has not arrived, and the changes wait for it.

    A session that spans speak of and nobody started gets its own event first.

    Raises:
        InvalidInput: A bucket is not an object, or the id is not usable.
        NotFound: There is no such event, and its id is none that a span could have.
    """
    if not event_id or len(event_id) > MAX_ID_CHARACTERS:
        raise InvalidInput("events.id_invalid", "The event_id is not usable.", "Send the id of an event.")
    outputs = changes.get("outputs")
    if outputs is not None and not isinstance(outputs, dict):
        raise InvalidInput(
            "events.outputs_invalid", "The outputs are not an object.", "Send outputs as an object."
        )
    async with database.transaction() as session:
        if await merge_changes(session, project_id, event_id, changes):
            return True
    async with database.transaction() as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
        if await merge_changes(session, project_id, event_id, changes):
            return True
        if await _open_session(session, project_id, event_id):
            return await merge_changes(session, project_id, event_id, changes)
        if show_id(event_id, compute_uid(event_id)) is not None:
            raise _not_found(event_id)
        await keep_update(session, project_id, event_id, changes)
    return False


async def change_event(
    room: TracesRoom, project_id: UUID, event_id: str, changes: Mapping[str, JsonValue]
) -> bool:
    """Merge a client's changes into an event, as ``update_event``, and tell who watches of events.

    A metric may have waited for what came now: a ground truth, a member that its filter asks for.
    """
    is_there = await update_event(room.database, project_id, event_id, changes)
    if is_there:
        await room.teller.tell(project_id, [event_id])
    return is_there


async def _open_session(session: AsyncSession, project_id: UUID, session_id: str) -> bool:
    """Give a session that only spans know its own event. False: no span knows it either."""
    row = await session.get(SessionRow, (project_id, UUID(compute_uid(session_id))))
    if row is None:
        return False
    body: dict[str, JsonValue] = {
        "event_type": "session",
        "event_id": session_id,
        "session_id": session_id,
        "event_name": row.name or "unknown",
        "source": row.source,
        "start_time": None if row.start_ns is None else row.start_ns / NS_PER_MS,
    }
    await store_arrivals(session, [Arrival(project_id.hex, [build_event(project_id.hex, body)])])
    return True


def _not_found(event_id: str) -> NotFound:
    return NotFound(
        "events.not_found",
        f"There is no event {event_id[:80]!r}.",
        "Look for it in the list of events.",
    )


async def get_event(database: Database, project_id: UUID, event_id: str) -> Event:
    """Return an event by its id.

    Raises:
        NotFound: There is none.
    """
    uid = UUID(compute_uid(event_id))
    async with database.reading() as session:
        for condition in (SpanRow.event_id == event_id, SpanRow.span_uid == uid):
            statement = (
                select_spans()
                .where(SpanRow.project_id == project_id, condition)
                .order_by(SpanRow.received_at.desc())
                .limit(1)
            )
            events = await read_events(session, statement)
            if events:
                return events[0]
    raise _not_found(event_id)


async def list_events_by_id(database: Database, project_id: UUID, event_ids: Sequence[str]) -> list[Event]:
    """Return those of the events that are there; the caller bounds how many it asks for."""
    ids = list(dict.fromkeys(event_ids))
    events: list[Event] = []
    async with database.reading() as session:
        for start in range(0, len(ids), IDS_PER_STATEMENT):
            some = ids[start : start + IDS_PER_STATEMENT]
            uids = [UUID(compute_uid(event_id)) for event_id in some]
            is_wanted = (SpanRow.span_uid == func.any(uids)) | (SpanRow.event_id == func.any(some))
            statement = select_spans().where(SpanRow.project_id == project_id, is_wanted)
            events += await read_events(session, statement)
    return events


async def list_events(
    database: Database,
    project_id: UUID,
    filters: Sequence[EventFilter] = (),
    *,
    limit: int = 1_000,
    page: int = 1,
    start_ms: float | None = None,
    end_ms: float | None = None,
    max_limit: int = MAX_EXPORT_LIMIT,
) -> EventPage:
    """Return events that match all filters, the latest start first, and how many there are.

    ``start_ms`` and ``end_ms`` bound the start, in milliseconds since 1970, both ends included.

    Raises:
        InvalidInput: A limit, a page or a filter is not usable.
    """
    if not 1 <= limit <= max_limit or not 1 <= page <= 1_000_000:
        raise InvalidInput(
            "events.limit_invalid",
            f"A page of events cannot have the limit {limit} and the number {page}.",
            f"Ask for a limit of 1 to {max_limit}, and pages from 1.",
        )
    conditions: list[ColumnElement[bool]] = [SpanRow.project_id == project_id, *build_conditions(filters)]
    if start_ms is not None:
        conditions.append(SpanRow.start_ns >= int(start_ms * NS_PER_MS))
    if end_ms is not None:
        conditions.append(SpanRow.start_ns <= int(end_ms * NS_PER_MS))
    # The contents of events are large: places and number are found without them.
    places = _select_from_spans(SpanRow.span_uid, filters).where(*conditions)
    latest = (SpanRow.start_ns.desc(), SpanRow.span_uid.desc())
    chosen = places.order_by(*latest).limit(limit).offset((page - 1) * limit).subquery()
    statement = (
        select_spans()
        .join(chosen, chosen.c.span_uid == SpanRow.span_uid)
        .where(SpanRow.project_id == project_id)
        .order_by(*latest)
    )
    async with database.reading() as session:
        events = await read_events(session, statement)
        if len(events) < limit and (events or page == 1):
            return EventPage(events, (page - 1) * limit + len(events))
        if not filters and start_ms is None and end_ms is None:
            return EventPage(events, await count_all_events(session, project_id))
        total_count = await session.scalar(select(func.count()).select_from(places.subquery())) or 0
    return EventPage(events, total_count)


def _select_from_spans(column: Any, filters: Sequence[EventFilter]) -> Select[Any]:
    """Return a column of spans; sessions are joined only where a filter looks at the text of their ids."""
    statement: Select[Any] = select(column)
    if any(wanted.field == "session_id" for wanted in filters):
        return statement.join(
            SessionRow,
            (SessionRow.project_id == SpanRow.project_id) & (SessionRow.session_uid == SpanRow.session_uid),
        )
    return statement


async def list_run_events(
    database: Database, project_id: UUID, run_id: str, event_ids: Sequence[str]
) -> list[Event]:
    """Return every event of every session of an experiment run, by start.

    A session belongs to it when its own event names the run in ``metadata.run_id``, or its id is among
    ``event_ids``.
    """
    named = select(SpanRow.session_uid).where(
        SpanRow.project_id == project_id,
        SpanRow.event_type == "session",
        SpanRow.metadata_json["run_id"].astext == run_id,
    )
    uids = [UUID(compute_uid(event_id)) for event_id in event_ids[:MAX_RUN_EVENTS]]
    statement = (
        select_spans()
        .where(
            SpanRow.project_id == project_id,
            SpanRow.session_uid.in_(named) | (SpanRow.session_uid == func.any(uids)),
        )
        .order_by(SpanRow.start_ns, SpanRow.span_uid)
        .limit(MAX_RUN_EVENTS)
    )
    async with database.reading() as session:
        return await read_events(session, statement)
