"""Every read of the lists of sessions and traces, and of one span. Trees are read in ``outline_queries``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import load_only

from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter
from referee.traces.events import Event, build_events, select_spans
from referee.traces.filter_fields import build_session_conditions, build_trace_conditions
from referee.traces.tables import ResourceRow, SessionRow, SpanHourRow, SpanRow
from referee.traces.views import Session, SpanDetail, Trace, TraceSums

__all__ = [
    "MAX_SUMMED_SPANS",
    "count_all_events",
    "count_sessions",
    "count_trace_types",
    "count_traces",
    "get_session",
    "get_span_detail",
    "list_sessions",
    "list_span_details",
    "list_trace_spans",
    "list_traces",
]

MAX_SUMMED_SPANS: Final = 2_000
"""Spans of one trace that a list of traces adds up; what larger ones come to, their own pages say."""
MAX_SHOWN_MODELS: Final = 4
_LISTED: Final = (
    SpanRow.session_uid,
    SpanRow.trace_id,
    SpanRow.span_id,
    SpanRow.event_id,
    SpanRow.event_name,
    SpanRow.event_type,
    SpanRow.source,
    SpanRow.user_id,
    SpanRow.start_ns,
    SpanRow.end_ns,
    SpanRow.status,
    SpanRow.error,
    SpanRow.model,
    SpanRow.total_tokens,
    SpanRow.cost_usd,
)
"""What a row of the list shows: contents are large, and read on the trace's own page."""


async def list_sessions(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Session]:
    """Return sessions, the latest start first."""
    conditions = build_session_conditions(project_id, where)
    total_count = await count_sessions(session, *conditions)
    statement = (
        select(SessionRow)
        .where(*conditions, SessionRow.start_ns.is_not(None))
        .order_by(SessionRow.start_ns.desc(), SessionRow.session_uid.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        start_ns, uid = _read_cursor(cursor, "sessions")
        statement = statement.where(tuple_(SessionRow.start_ns, SessionRow.session_uid) < (start_ns, uid))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    next_cursor = None
    if len(rows) > limit:
        next_cursor = encode_cursor("sessions", [kept[-1].start_ns, str(kept[-1].session_uid)])
    return Page(tuple(build_session_view(row) for row in kept), total_count, limit, next_cursor)


async def count_sessions(session: AsyncSession, *conditions: ColumnElement[bool]) -> int:
    """Return how many sessions meet all conditions."""
    statement = select(func.count()).select_from(SessionRow).where(SessionRow.start_ns.is_not(None))
    return await session.scalar(statement.where(*conditions)) or 0


async def get_session(session: AsyncSession, project_id: UUID, session_uid: UUID) -> Session:
    """Return one session.

    Raises:
        NotFound: Nothing names it.
    """
    row = await session.get(SessionRow, (project_id, session_uid))
    if row is None:
        raise NotFound(
            "sessions.not_found", "There is no such session.", "Look for it in the list of sessions."
        )
    return build_session_view(row)


def build_session_view(row: SessionRow) -> Session:
    """Return a row as a value."""
    return Session(
        session_uid=row.session_uid,
        session_id=row.session_id if row.session_id is not None else str(row.session_uid),
        name=row.name,
        source=row.source,
        user_id=row.user_id,
        start_ns=row.start_ns or 0,
        end_ns=row.end_ns,
        events_count=row.events_count,
        model_events_count=row.model_events_count,
        errors_count=row.errors_count,
        feedback_count=row.feedback_count,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        total_tokens=row.total_tokens,
        cost_usd=row.cost_usd,
    )


async def list_traces(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Trace]:
    """Return the roots of traces, the latest start first, with what their spans add up to."""
    conditions = build_trace_conditions(project_id, where)
    total_count = await count_traces(session, project_id, where)
    statement = (
        select_spans()
        .options(load_only(*_LISTED, raiseload=True))
        .where(*conditions)
        .order_by(SpanRow.start_ns.desc(), SpanRow.span_uid.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        start_ns, uid = _read_cursor(cursor, "traces")
        statement = statement.where(tuple_(SpanRow.start_ns, SpanRow.span_uid) < (start_ns, uid))
    records = [(record[0], record[1]) for record in (await session.execute(statement)).all()]
    kept = records[:limit]
    sums = await _sum_up_traces(session, project_id, {row.trace_id for row, _ in kept if row.trace_id})
    traces = tuple(_build_trace(row, session_id, sums) for row, session_id in kept)
    next_cursor = None
    if len(records) > limit:
        next_cursor = encode_cursor("traces", [kept[-1][0].start_ns, str(kept[-1][0].span_uid)])
    return Page(traces, total_count, limit, next_cursor)


async def count_traces(session: AsyncSession, project_id: UUID, where: Filter | None = None) -> int:
    """Return how many traces a project has under a filter; all of them as their hours say."""
    if where is None or where.is_empty:
        of_hours = select(func.sum(SpanHourRow.traces_count)).where(SpanHourRow.project_id == project_id)
        return int(await session.scalar(of_hours) or 0)
    conditions = build_trace_conditions(project_id, where)
    return await session.scalar(select(func.count()).select_from(SpanRow).where(*conditions)) or 0


async def count_all_events(session: AsyncSession, project_id: UUID) -> int:
    """Return how many events a project has: spans as their hours say, and sessions' own events."""
    of_hours = select(func.sum(SpanHourRow.spans_count)).where(SpanHourRow.project_id == project_id)
    of_sessions = (
        select(func.count())
        .select_from(SpanRow)
        .where(SpanRow.project_id == project_id, SpanRow.event_type == "session")
    )
    return int(await session.scalar(of_hours) or 0) + (await session.scalar(of_sessions) or 0)


async def count_trace_types(
    session: AsyncSession, project_id: UUID, where: Filter | None = None
) -> dict[str, int]:
    """Return type of the root → traces, under a filter."""
    statement: Select[str, int] = (
        select(SpanRow.event_type, func.count())
        .where(*build_trace_conditions(project_id, where))
        .group_by(SpanRow.event_type)
        .order_by(SpanRow.event_type)
    )
    return {str(record[0]): int(record[1]) for record in (await session.execute(statement)).all()}


# OFFSET keeps the project out of the choice of index: a trace's id says all, and a database that has not counted its
# rows yet would read the project instead.
_SUMS: Final = text(
    """
    SELECT t.trace_id, s.*
    FROM unnest(CAST(:trace_ids AS uuid[])) AS t (trace_id), LATERAL (
      SELECT count(*), count(x.error), sum(x.total_tokens) FILTER (WHERE x.is_counted),
        sum(x.cost_usd) FILTER (WHERE x.is_counted), array_agg(DISTINCT x.model)
      FROM (
        SELECT * FROM (
          SELECT project_id, error, total_tokens, cost_usd, is_counted, model FROM spans
          WHERE trace_id = t.trace_id OFFSET 0
        ) AS theirs
        WHERE project_id = :project_id LIMIT :most
      ) AS x
    ) AS s
    """
)


async def _sum_up_traces(
    session: AsyncSession, project_id: UUID, trace_ids: set[UUID]
) -> dict[UUID, TraceSums]:
    if not trace_ids:
        return {}
    records = await session.execute(
        _SUMS,
        {
            "trace_ids": [str(one) for one in sorted(trace_ids)],
            "project_id": project_id,
            "most": MAX_SUMMED_SPANS + 1,
        },
    )
    found: dict[UUID, TraceSums] = {}
    for trace_id, spans_count, errors_count, total_tokens, cost_usd, models in records.all():
        known = tuple(sorted(model for model in models or () if model))[:MAX_SHOWN_MODELS]
        if spans_count > MAX_SUMMED_SPANS:
            found[trace_id] = TraceSums(models=known)
            continue
        found[trace_id] = TraceSums(
            spans_count, errors_count, None if total_tokens is None else int(total_tokens), cost_usd, known
        )
    return found


def _build_trace(row: SpanRow, session_id: str | None, sums: dict[UUID, TraceSums]) -> Trace:
    own = TraceSums(
        1, int(row.error is not None), row.total_tokens, row.cost_usd, (row.model,) if row.model else ()
    )
    return Trace(
        span_uid=row.span_uid,
        trace_id=None if row.trace_id is None else row.trace_id.hex,
        span_id=None if row.span_id is None else row.span_id.hex(),
        event_id=row.event_id if row.event_id is not None else str(row.span_uid),
        session_uid=row.session_uid,
        session_id=session_id if session_id is not None else str(row.session_uid),
        name=row.event_name,
        event_type=row.event_type,
        source=row.source,
        user_id=row.user_id,
        start_ns=row.start_ns,
        end_ns=row.end_ns,
        status=row.status,
        error=row.error,
        sums=own if row.trace_id is None else sums.get(row.trace_id, own),
    )


async def list_trace_spans(
    session: AsyncSession, project_id: UUID, trace_id: UUID, *, cursor: str | None = None, limit: int
) -> Page[SpanDetail]:
    """Return the spans of a trace, by their start.

    Raises:
        NotFound: The project has no span of it.
    """
    mine = (SpanRow.project_id == project_id, SpanRow.trace_id == trace_id)
    total_count = await session.scalar(select(func.count()).select_from(SpanRow).where(*mine)) or 0
    if total_count == 0:
        raise make_trace_not_found()
    statement = select_spans().where(*mine).order_by(SpanRow.start_ns, SpanRow.span_uid).limit(limit + 1)
    if cursor is not None:
        start_ns, uid = _read_cursor(cursor, "trace-spans")
        statement = statement.where(tuple_(SpanRow.start_ns, SpanRow.span_uid) > (start_ns, uid))
    details = await _read_details(session, statement)
    kept = details[:limit]
    next_cursor = None
    if len(details) > limit:
        next_cursor = encode_cursor("trace-spans", [kept[-1].start_ns, str(kept[-1].event.span_uid)])
    return Page(tuple(kept), total_count, limit, next_cursor)


async def list_span_details(
    session: AsyncSession, *conditions: ColumnElement[bool], limit: int
) -> list[SpanDetail]:
    """Return spans that meet all conditions, by their start."""
    statement = select_spans().where(*conditions).order_by(SpanRow.start_ns, SpanRow.span_uid).limit(limit)
    return await _read_details(session, statement)


async def get_span_detail(session: AsyncSession, project_id: UUID, span_uid: UUID) -> SpanDetail:
    """Return all there is of a span or event.

    Raises:
        NotFound: The project has no such span.
    """
    statement = select_spans().where(SpanRow.project_id == project_id, SpanRow.span_uid == span_uid)
    details = await _read_details(session, statement)
    if not details:
        raise NotFound("spans.not_found", "There is no such span.", "Open its trace and select one.")
    return details[0]


def make_trace_not_found() -> NotFound:
    """Return the error of a trace that the project has no span of."""
    return NotFound("traces.not_found", "There is no such trace.", "Look for it in the list of traces.")


async def _read_details(session: AsyncSession, statement: Select[SpanRow, str | None]) -> list[SpanDetail]:
    records = [(record[0], record[1]) for record in (await session.execute(statement)).all()]
    events = await build_events(session, records)
    rows = [row for row, _ in records]
    shared = await _find_resources(session, rows)
    return [_build_detail(event, row, shared) for event, row in zip(events, rows, strict=True)]


async def _find_resources(session: AsyncSession, rows: Sequence[SpanRow]) -> dict[UUID, ResourceRow]:
    wanted = {row.resource_id for row in rows if row.resource_id is not None}
    if not wanted:
        return {}
    found = await session.scalars(
        select(ResourceRow).where(
            ResourceRow.project_id == rows[0].project_id, ResourceRow.resource_id.in_(wanted)
        )
    )
    return {row.resource_id: row for row in found.all()}


def _build_detail(event: Event, row: SpanRow, shared: dict[UUID, ResourceRow]) -> SpanDetail:
    resource = None if row.resource_id is None else shared.get(row.resource_id)
    return SpanDetail(
        event=event,
        kind=row.kind,
        start_ns=row.start_ns,
        end_ns=row.end_ns,
        span_events=row.span_events_json or [],
        links=row.links_json or [],
        resource={} if resource is None else resource.resource_json,
        scope={} if resource is None else resource.scope_json,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        provider=row.provider,
        is_counted=row.is_counted,
        batch_id=row.batch_id,
        batch_position=row.batch_position,
        received_at=row.received_at,
        mapping_version=row.mapping_version,
    )


def _read_cursor(cursor: str, name: str) -> tuple[int, UUID]:
    values: list[Any] = list(decode_cursor(cursor, name))
    return int(values[0]), UUID(str(values[1]))
