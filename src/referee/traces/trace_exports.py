"""Traces as JSON Lines: every span of the traces that a list shows, one a line, for as many as there are.

Read a few traces at a time, each in a state of the database of its own, so that an export of millions holds neither
memory nor a transaction. What arrives meanwhile may be in it or not; nothing that was there before is left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, select, tuple_

from referee.foundation.store import Database
from referee.foundation.web.filters import Filter
from referee.foundation.web.parquet import ParquetColumn
from referee.traces import queries
from referee.traces.filter_fields import build_trace_conditions
from referee.traces.tables import SpanRow
from referee.traces.trace_models import SpanModel

__all__ = ["SPAN_COLUMNS", "iterate_trace_lines"]

_OF_EVENT: Final = ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties")
SPAN_COLUMNS: Final[Mapping[str, ParquetColumn]] = {
    "trace_id": (("event", "metadata", "trace_id"), "text"),
    "span_id": (("span_id",), "text"),
    "event_id": (("event", "event_id"), "text"),
    "parent_id": (("event", "parent_id"), "text"),
    "session_id": (("event", "session_id"), "text"),
    "event_type": (("event", "event_type"), "text"),
    "event_name": (("event", "event_name"), "text"),
    "source": (("event", "source"), "text"),
    "status": (("status",), "text"),
    "error": (("event", "error"), "text"),
    "kind": (("kind",), "integer"),
    "start_time_unix_nano": (("start_time_unix_nano",), "integer"),
    "end_time_unix_nano": (("end_time_unix_nano",), "integer"),
    "duration_ms": (("event", "duration"), "number"),
    "model": (("model",), "text"),
    "provider": (("provider",), "text"),
    "user_id": (("user_id",), "text"),
    "prompt_tokens": (("prompt_tokens",), "integer"),
    "completion_tokens": (("completion_tokens",), "integer"),
    "total_tokens": (("total_tokens",), "integer"),
    "cost_usd": (("cost_usd",), "number"),
    "is_counted": (("is_counted",), "flag"),
    **{name: (("event", name), "json") for name in _OF_EVENT},
    **{name: ((name,), "json") for name in ("span_events", "links", "resource", "scope")},
    "received_at": (("received_at",), "text"),
    "mapping_version": (("mapping_version",), "integer"),
}
"""Of a line, as columns of Parquet."""
TRACES_AT_ONCE: Final = 50
SPANS_AT_ONCE: Final = 500


async def iterate_trace_lines(
    database: Database, project_id: UUID, where: Filter | None = None
) -> AsyncIterator[bytes]:
    """Yield lines, some at a time: the traces with the latest start first, the spans of each by their start.

    A line is a span as ``/v1/traces/{trace_id}`` lists it. A root without a trace stands by itself.

    Args:
        database: Where from.
        project_id: Whose.
        where: Only the traces that match, as in the list of traces.
    """
    conditions = build_trace_conditions(project_id, where)
    order = (SpanRow.start_ns.desc(), SpanRow.span_uid.desc())
    statement = (
        select(SpanRow.start_ns, SpanRow.span_uid, SpanRow.trace_id).where(*conditions).order_by(*order)
    )
    place: tuple[int, UUID] | None = None
    seen: set[UUID] = set()
    while True:
        following = statement if place is None else statement.where(
            tuple_(SpanRow.start_ns, SpanRow.span_uid) < place
        )  # fmt: skip
        async with database.reading() as session:
            roots = (await session.execute(following.limit(TRACES_AT_ONCE))).all()
        for start_ns, span_uid, trace_id in roots:
            place = (start_ns, span_uid)
            if trace_id is not None and trace_id in seen:
                continue  # a trace of several roots is told once, at its latest
            if trace_id is not None:
                seen.add(trace_id)
            async for lines in _iterate_trace(database, project_id, span_uid, trace_id):
                yield lines
        if len(roots) < TRACES_AT_ONCE:
            return


async def _iterate_trace(
    database: Database, project_id: UUID, span_uid: UUID, trace_id: UUID | None
) -> AsyncIterator[bytes]:
    mine = SpanRow.span_uid == span_uid if trace_id is None else SpanRow.trace_id == trace_id
    place: tuple[int, UUID] | None = None
    while True:
        conditions: list[ColumnElement[bool]] = [SpanRow.project_id == project_id, mine]
        if place is not None:
            conditions.append(tuple_(SpanRow.start_ns, SpanRow.span_uid) > place)
        async with database.reading() as session:
            details = await queries.list_span_details(session, *conditions, limit=SPANS_AT_ONCE)
        yield b"".join(SpanModel.of(one).model_dump_json().encode() + b"\n" for one in details)
        if len(details) < SPANS_AT_ONCE:
            return
        place = (details[-1].start_ns, details[-1].event.span_uid)
