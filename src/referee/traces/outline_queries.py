"""Reads of the spans of a whole trace or session: only what a row of the tree shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, case, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.traces.identity import compute_uid
from referee.traces.outlines import OutlineSpan
from referee.traces.tables import SessionRow, SpanRow

__all__ = [
    "MAX_OUTLINE_SPANS",
    "MAX_SPAN_EVENTS",
    "LoggedEvent",
    "SpanSums",
    "find_span_uid",
    "list_logged_events",
    "list_outline_spans",
    "of_session",
    "of_trace",
    "sum_spans",
]

MAX_OUTLINE_SPANS: Final = 50_000
"""Spans of one tree. What comes later stays reachable through the list of events."""
MAX_SPAN_EVENTS: Final = 500
"""Span events of one log."""
MAX_SESSIONS: Final = 5
MAX_NAME_CHARACTERS: Final = 200

_SPAN_ID: Final = 16


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A span event, with the span it happened in."""

    time_ns: int
    name: str
    attributes: dict[str, JsonValue]
    span_uid: UUID
    span_id: str | None
    span_name: str


def of_trace(project_id: UUID, trace_id: UUID) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of the spans of a trace."""
    return (SpanRow.project_id == project_id, SpanRow.trace_id == trace_id)


def of_session(project_id: UUID, session_uid: UUID) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of the spans and events of a session, its own event too."""
    return (SpanRow.project_id == project_id, SpanRow.session_uid == session_uid)


async def list_outline_spans(
    session: AsyncSession, *conditions: ColumnElement[bool], is_first_only: bool = False
) -> list[OutlineSpan]:
    """Return at most ``MAX_OUTLINE_SPANS`` spans, the earliest ones.

    What has no parent hangs below the session's own event, where that is among them.

    Args:
        session: To read with.
        conditions: Of the spans.
        is_first_only: Whether the one that stands first is enough: a root, if there is one.
    """
    name = func.left(SpanRow.event_name, MAX_NAME_CHARACTERS)
    statement = (
        select(
            SpanRow.span_uid,
            SpanRow.parent_uid,
            func.encode(SpanRow.span_id, "hex"),
            name,
            SpanRow.event_type,
            SpanRow.start_ns,
            SpanRow.end_ns,
            SpanRow.status,
            SpanRow.error.is_not(None),
            SpanRow.model,
            SpanRow.total_tokens,
            SpanRow.cost_usd,
            case((SpanRow.event_type == "session", literal(True)), else_=literal(False)),
        )
        .where(*conditions)
        .order_by(
            *((SpanRow.parent_uid.is_not(None),) if is_first_only else ()), SpanRow.start_ns, SpanRow.span_uid
        )
        .limit(1 if is_first_only else MAX_OUTLINE_SPANS)
    )
    records: list[Any] = list((await session.execute(statement)).all())
    own = next((record[0] for record in records if record[12]), None)
    return [
        OutlineSpan(record[0], own if record[1] is None and record[0] != own else record[1], *record[2:12])
        for record in records
    ]


async def list_logged_events(session: AsyncSession, *conditions: ColumnElement[bool]) -> list[LoggedEvent]:
    """Return the span events of some spans in the order of their times, at most ``MAX_SPAN_EVENTS`` + 1."""
    one = func.jsonb_array_elements(SpanRow.span_events_json).table_valued("value").alias("one")
    time_ns = one.c.value.op("->>")("time_ns")
    statement = (
        select(
            one.c.value,
            SpanRow.span_uid,
            func.encode(SpanRow.span_id, "hex"),
            func.left(SpanRow.event_name, MAX_NAME_CHARACTERS),
        )
        .select_from(SpanRow)
        .join(one, literal(True))
        .where(*conditions, func.jsonb_typeof(SpanRow.span_events_json) == "array")
        .order_by(func.lpad(time_ns, 20, "0"), SpanRow.span_uid)
        .limit(MAX_SPAN_EVENTS + 1)
    )
    return [_read_logged(*record) for record in (await session.execute(statement)).all()]


def _read_logged(value: Any, span_uid: UUID, span_id: str | None, span_name: str) -> LoggedEvent:
    said = value if isinstance(value, dict) else {}
    attributes = said.get("attributes")
    time_ns = said.get("time_ns")
    return LoggedEvent(
        time_ns=time_ns if isinstance(time_ns, int) else 0,
        name=str(said.get("name") or "event"),
        attributes=attributes if isinstance(attributes, dict) else {},
        span_uid=span_uid,
        span_id=span_id,
        span_name=span_name,
    )


async def find_span_uid(session: AsyncSession, text: str, *conditions: ColumnElement[bool]) -> UUID | None:
    """Return which of some spans a text names: by its span id, its uid, or the id of its event."""
    if "\x00" in text:
        return None
    digits = text.lower()
    named = [SpanRow.span_uid == UUID(compute_uid(digits)), SpanRow.event_id == text]
    if len(digits) == _SPAN_ID and all(digit in "0123456789abcdef" for digit in digits):
        named.insert(0, SpanRow.span_id == bytes.fromhex(digits))
    for condition in named:
        found: UUID | None = await session.scalar(
            select(SpanRow.span_uid).where(*conditions, condition).limit(1)
        )
        if found is not None:
            return found
    return None


@dataclass(frozen=True, slots=True)
class SpanSums:
    """What some spans add up to, and the sessions they belong to."""

    total_tokens: int | None
    cost_usd: float | None
    sessions: list[tuple[UUID, str]]
    """Uid and id, at most ``MAX_SESSIONS``."""


async def sum_spans(session: AsyncSession, *conditions: ColumnElement[bool]) -> SpanSums:
    """Return what the spans that meet the conditions add up to; tokens that spans below report count once."""
    sums = (
        await session.execute(
            select(func.sum(SpanRow.total_tokens), func.sum(SpanRow.cost_usd)).where(
                *conditions, SpanRow.is_counted
            )
        )
    ).one()
    named = func.coalesce(SessionRow.session_id, cast(SpanRow.session_uid, SpanRow.event_name.type))
    found = await session.execute(
        select(SpanRow.session_uid, named)
        .join(
            SessionRow,
            (SessionRow.project_id == SpanRow.project_id) & (SessionRow.session_uid == SpanRow.session_uid),
        )
        .where(*conditions)
        .distinct()
        .limit(MAX_SESSIONS)
    )
    total_tokens = None if sums[0] is None else int(sums[0])
    return SpanSums(total_tokens, sums[1], [(record[0], str(record[1])) for record in found.all()])
