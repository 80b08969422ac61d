"""Events: what a span or a session is to people and to clients of the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.traces.tables import SessionRow, SpanRow

__all__ = ["NS_PER_MS", "Event", "build_events", "read_events", "render_event", "select_spans"]

NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One span, one event sent by itself, or one session. Times are milliseconds since 1970."""

    project_id: UUID
    event_id: str
    session_id: str
    parent_id: str | None
    """None only for a session."""
    children_ids: list[str]
    """Those the client named, and those among the events that were read together."""
    event_type: str
    event_name: str
    source: str
    start_time_ms: float | None
    end_time_ms: float | None
    duration_ms: float | None
    error: str | None
    inputs: dict[str, JsonValue]
    outputs: dict[str, JsonValue]
    config: dict[str, JsonValue]
    metadata: dict[str, JsonValue]
    metrics: dict[str, JsonValue]
    feedback: dict[str, JsonValue]
    user_properties: dict[str, JsonValue]
    span_uid: UUID
    trace_id: str | None
    span_id: str | None
    status: int
    user_id: str | None
    model: str | None
    total_tokens: int | None
    cost_usd: float | None


def render_event(event: Event) -> dict[str, JsonValue]:
    """Return the form of the API: no null where a client expects an object."""
    return {
        "project_id": str(event.project_id),
        "source": event.source,
        "event_name": event.event_name,
        "event_type": event.event_type,
        "event_id": event.event_id,
        "session_id": event.session_id,
        "parent_id": event.parent_id,
        "children_ids": list(event.children_ids),
        "config": event.config,
        "inputs": event.inputs,
        "outputs": event.outputs,
        "error": event.error,
        "start_time": event.start_time_ms,
        "end_time": event.end_time_ms,
        "duration": event.duration_ms,
        "metadata": event.metadata,
        "feedback": event.feedback,
        "metrics": event.metrics,
        "user_properties": event.user_properties,
    }


def select_spans() -> Select[SpanRow, str | None]:
    """Return the rows of events, each with the text of its session's id."""
    return select(SpanRow, SessionRow.session_id).join(
        SessionRow,
        (SessionRow.project_id == SpanRow.project_id) & (SessionRow.session_uid == SpanRow.session_uid),
    )


async def read_events(session: AsyncSession, statement: Select[SpanRow, str | None]) -> list[Event]:
    """Return the events of a statement made from ``select_spans``, with their parents' ids."""
    records = (await session.execute(statement)).all()
    return await build_events(session, [(record[0], record[1]) for record in records])


async def build_events(session: AsyncSession, rows: Sequence[tuple[SpanRow, str | None]]) -> list[Event]:
    """Return the events of rows that were read by ``select_spans``."""
    ids = await _find_own_ids(session, rows)
    children: dict[UUID, list[str]] = {}
    for row, _ in rows:
        if row.parent_uid is not None:
            children.setdefault(row.parent_uid, []).append(_event_id(row))
        elif row.event_type != "session":
            children.setdefault(row.session_uid, []).append(_event_id(row))
    return [_build_event(row, session_id, ids, children) for row, session_id in rows]


async def _find_own_ids(
    session: AsyncSession, rows: Iterable[tuple[SpanRow, str | None]]
) -> Mapping[UUID, str]:
    """Return the ids of parents that chose their own: a child knows only the uid of its parent's span."""
    wanted: dict[UUID, set[UUID]] = {}
    ids: dict[UUID, str] = {}
    for row, _ in rows:
        if row.event_id is not None:
            ids[row.span_uid] = row.event_id
    for row, _ in rows:
        if row.parent_uid is not None and row.parent_event_id is None and row.parent_uid not in ids:
            wanted.setdefault(row.project_id, set()).add(row.parent_uid)
    for project_id, uids in wanted.items():
        found = await session.execute(
            select(SpanRow.span_uid, SpanRow.event_id).where(
                SpanRow.project_id == project_id, SpanRow.span_uid.in_(uids), SpanRow.event_id.is_not(None)
            )
        )
        ids.update({uid: str(event_id) for uid, event_id in found.all()})
    return ids


def _event_id(row: SpanRow) -> str:
    return row.event_id if row.event_id is not None else str(row.span_uid)


def _build_event(
    row: SpanRow,
    session_text: str | None,
    ids: Mapping[UUID, str],
    children: Mapping[UUID, Sequence[str]],
) -> Event:
    session_id = session_text if session_text is not None else str(row.session_uid)
    parent_id: str | None = row.parent_event_id
    if parent_id is None and row.parent_uid is not None:
        parent_id = ids.get(row.parent_uid, str(row.parent_uid))
    elif parent_id is None and row.event_type != "session":
        parent_id = session_id
    named = list(row.children_ids_json or ())
    found = [child for child in children.get(row.span_uid, ()) if child not in named]
    metadata = row.metadata_json
    if row.trace_id is not None and row.span_id is not None:
        metadata = {
            **metadata,
            "trace_id": row.trace_id.hex,
            "span_id": row.span_id.hex(),
            "parent_span_id": None if row.parent_span_id is None else row.parent_span_id.hex(),
            "has_otlp_lineage": True,
        }
    return Event(
        project_id=row.project_id,
        event_id=_event_id(row),
        session_id=session_id,
        parent_id=parent_id,
        children_ids=named + found,
        event_type=row.event_type,
        event_name=row.event_name,
        source=row.source,
        start_time_ms=row.start_ns / NS_PER_MS,
        end_time_ms=None if row.end_ns is None else row.end_ns / NS_PER_MS,
        duration_ms=None if row.end_ns is None else (row.end_ns - row.start_ns) / NS_PER_MS,
        error=row.error,
        inputs=row.inputs_json,
        outputs=row.outputs_json,
        config=row.config_json,
        metadata=metadata,
        metrics=row.metrics_json,
        feedback=row.feedback_json,
        user_properties=row.user_properties_json,
        span_uid=row.span_uid,
        trace_id=None if row.trace_id is None else row.trace_id.hex,
        span_id=None if row.span_id is None else row.span_id.hex(),
        status=row.status,
        user_id=row.user_id,
        model=row.model,
        total_tokens=row.total_tokens,
        cost_usd=row.cost_usd,
    )
