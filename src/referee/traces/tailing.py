"""The latest spans of a project whatever their trace: what the live tail shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import load_only

from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where
from referee.traces.filter_fields import ROOT_TYPES, bound_start, build_ids, build_instant, take_terms
from referee.traces.tables import SpanRow
from referee.traces.views import read_instant

__all__ = ["SPAN_FIELDS", "TailedSpan", "list_latest_spans"]

MAX_COUNTED_SPANS: Final = 10_000
"""How far the spans that match are counted: a tail says "over 10,000" beyond."""
SPAN_FIELDS: Final[Mapping[str, FilterField]] = {
    "name": FilterField("text", "Part of its name.", is_searched=True, example="name:search"),
    "type": FilterField("enum", "What it is.", ROOT_TYPES),
    "model": FilterField("keyword", "The model that it called.", example="model:gpt-4o*"),
    "user": FilterField("keyword", "Id of the user.", example="user:u-17"),
    "error": FilterField("text", "Part of its error.", example="error:timeout"),
    "failed": FilterField("flag", "Whether it has an error.", example="is:failed"),
    "session": FilterField("keyword", "Whole id of its session."),
    "source": FilterField("keyword", "Where it ran.", example="source:production"),
    "started": FilterField("time", "When it began.", example="started:>=-1h"),
    "duration": FilterField("number", "Seconds that it took.", example="duration:>=2"),
    "tokens": FilterField("number", "Tokens that it reports.", example="tokens:>=1000"),
    "cost": FilterField("number", "US dollars that it cost.", example="cost:>=0.1"),
}
_SHOWN: Final = (
    SpanRow.session_uid,
    SpanRow.trace_id,
    SpanRow.span_id,
    SpanRow.event_name,
    SpanRow.event_type,
    SpanRow.start_ns,
    SpanRow.end_ns,
    SpanRow.error,
    SpanRow.status,
    SpanRow.model,
    SpanRow.total_tokens,
    SpanRow.cost_usd,
)
_SPAN: Final = SpanRow.__table__.c
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "name": _SPAN.event_name,
    "type": _SPAN.event_type,
    "model": _SPAN.model,
    "user": _SPAN.user_id,
    "error": _SPAN.error,
    "failed": _SPAN.error.is_not(None),
    "source": _SPAN.source,
    "started": build_instant(_SPAN.start_ns),
    "duration": (_SPAN.end_ns - _SPAN.start_ns) / 1e9,
    "tokens": _SPAN.total_tokens,
    "cost": _SPAN.cost_usd,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TailedSpan:
    """One span as a row of the tail."""

    span_uid: UUID
    session_uid: UUID
    trace_id: str | None
    span_id: str | None
    name: str
    event_type: str
    start_ns: int
    duration_ms: float | None
    error: str | None
    status: int
    """OpenTelemetry's: 0 unset, 1 ok, 2 error."""
    model: str | None
    total_tokens: int | None
    cost_usd: float | None

    @property
    def started_at(self) -> datetime:
        """When it began."""
        return read_instant(self.start_ns)


async def list_latest_spans(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    until_ns: int | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[TailedSpan]:
    """Return spans, the latest start first; ``total_count`` stops at ``MAX_COUNTED_SPANS``.

    Args:
        session: To read with.
        project_id: Whose.
        where: Only those that match.
        until_ns: Only those that began by then, nanoseconds since 1970.
        cursor: Of the page before.
        limit: Rows at most.
    """
    conditions = [SpanRow.project_id == project_id, SpanRow.event_type != "session"]
    if where is not None:
        rest, ids = take_terms(where, ("session",))
        conditions += build_ids(project_id, ids, _SPAN.session_uid)
        conditions += [to_where(rest, _COLUMNS), *bound_start(where, _SPAN.start_ns)]
    if until_ns is not None:
        conditions.append(SpanRow.start_ns <= until_ns)
    some = select(SpanRow.span_uid).where(*conditions).limit(MAX_COUNTED_SPANS).subquery()
    total_count = await session.scalar(select(func.count()).select_from(some)) or 0
    statement = (
        select(SpanRow)
        .options(load_only(*_SHOWN, raiseload=True))
        .where(*conditions)
        .order_by(SpanRow.start_ns.desc(), SpanRow.span_uid.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        start_ns, uid = decode_cursor(cursor, "spans")
        after = (int(str(start_ns)), UUID(str(uid)))
        statement = statement.where(tuple_(SpanRow.start_ns, SpanRow.span_uid) < after)
    rows = list((await session.scalars(statement)).all())
    kept = rows[:limit]
    next_cursor = None
    if len(rows) > limit:
        next_cursor = encode_cursor("spans", [kept[-1].start_ns, str(kept[-1].span_uid)])
    return Page(tuple(_view(row) for row in kept), total_count, limit, next_cursor)


def _view(row: SpanRow) -> TailedSpan:
    return TailedSpan(
        span_uid=row.span_uid,
        session_uid=row.session_uid,
        trace_id=None if row.trace_id is None else row.trace_id.hex,
        span_id=None if row.span_id is None else row.span_id.hex(),
        name=row.event_name,
        event_type=row.event_type,
        start_ns=row.start_ns,
        duration_ms=None if row.end_ns is None else (row.end_ns - row.start_ns) / 1e6,
        error=row.error,
        status=row.status,
        model=row.model,
        total_tokens=row.total_tokens,
        cost_usd=row.cost_usd,
    )
