"""The transaction that stores spans: rows, roll-ups, bodies as they came, changes that waited.

Everything of a group is committed together, so whoever sees a span sees it
counted, and a request is acknowledged after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, LiteralString, TypeAlias
from uuid import UUID

import psycopg
import zstandard
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncSession

from referee.foundation.web.live import publish
from referee.traces.bodies import decode_body, empty_spans
from referee.traces.counting import find_uncounted
from referee.traces.otlp.spans import ZSTD_LEVEL, Resource
from referee.traces.rollups import (
    HourKey,
    HourTotals,
    SessionKey,
    SessionTotals,
    add_hours,
    add_sessions,
    compute_hours,
    compute_sessions,
    make_hour_key,
)
from referee.traces.rows import COLUMNS, NewSpan, dump_json, render_line
from referee.traces.statements import get_driver
from referee.traces.updating import WRITERS_LOCK, apply_waiting_updates

__all__ = ["Arrival", "Batch", "store_arrivals"]

MAX_RELATIVES: Final = 50_000
"""Stored spans of the same traces that are read to find whose tokens count. In a trace with more of them
a span below or above the rest no longer changes what counts."""

SpanKey: TypeAlias = tuple[str, str]
"""Project and uid."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A request's body, compressed."""

    batch_id: str
    schema: str
    spans_count: int
    size_bytes: int
    body: bytes


@dataclass(slots=True)
class Arrival:
    """What one request brings."""

    project_id: str
    spans: list[NewSpan]
    batch: Batch | None = None
    resources: dict[str, Resource] = field(default_factory=dict)
    known_uids: set[str] = field(default_factory=set)
    """Filled by ``store_arrivals``: uids of spans that were there before, or came earlier in the group."""

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return 0 if self.batch is None else 3 * self.batch.size_bytes


async def store_arrivals(session: AsyncSession, arrivals: Sequence[Arrival]) -> None:
    """Write a group of requests in the session's transaction; a span that is there already stays as it is.

    Called once in a transaction.
    """
    spans = _list_once(arrivals)
    if not spans:
        return
    async with (await get_driver(session)).cursor() as cursor:
        await cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WRITERS_LOCK])
        relatives = await _list_relatives(cursor, spans)
        uncounted = await _settle_counted(cursor, spans, relatives)
        known = await _insert_spans(cursor, spans, relatives)
        new = [span for span in spans if (span.project_id, span.span_uid) not in known]
        sessions, hours = compute_sessions(new), compute_hours(new)
        for relative in uncounted:
            relative.take_back(sessions, hours)
        await add_sessions(cursor, sessions)
        await add_hours(cursor, hours)
        for arrival in arrivals:
            uids = {(span.project_id, span.span_uid) for span in arrival.spans}
            arrival.known_uids = {uid for _, uid in uids & known}
            known |= uids
        await _insert_batches(cursor, arrivals)
    await apply_waiting_updates(session, new)
    for project_id in sorted({span.project_id for span in new}):
        await publish(session, "spans", project_id=UUID(project_id))


def _list_once(arrivals: Iterable[Arrival]) -> list[NewSpan]:
    """Return the spans of all requests once each, as they came: those of a trace beside each other."""
    spans: dict[SpanKey, NewSpan] = {}
    for arrival in arrivals:
        for span in arrival.spans:
            spans.setdefault((span.project_id, span.span_uid), span)
    return list(spans.values())


@dataclass(frozen=True, slots=True)
class _Relative:
    """A stored span of a trace that gets more spans."""

    project_id: str
    span_uid: str
    parent_uid: str | None
    session_uid: str
    hour_key: HourKey
    is_counted: bool
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int | None
    cost_usd: float | None

    @property
    def has_numbers(self) -> bool:
        return self.total_tokens is not None or self.cost_usd is not None

    def take_back(self, sessions: dict[SessionKey, SessionTotals], hours: dict[HourKey, HourTotals]) -> None:
        """Take its numbers out of the sums they were added to."""
        for totals in (
            sessions.setdefault((self.project_id, self.session_uid), SessionTotals()),
            hours.setdefault(self.hour_key, HourTotals()),
        ):
            totals.prompt_tokens -= self.prompt_tokens
            totals.completion_tokens -= self.completion_tokens
            totals.total_tokens -= self.total_tokens or 0
            totals.cost_usd -= self.cost_usd or 0.0


_SELECT_RELATIVES: Final[LiteralString] = """
SELECT project_id::text, span_uid::text, parent_uid::text, session_uid::text, start_ns, event_type, event_name,
  model, is_counted, prompt_tokens, completion_tokens, total_tokens, cost_usd
FROM spans WHERE trace_id = ANY(%s::uuid[]) AND project_id = ANY(%s::uuid[]) LIMIT %s
"""


async def _list_relatives(cursor: psycopg.AsyncCursor[Any], spans: Sequence[NewSpan]) -> list[_Relative]:
    traces = sorted({span.trace_uid for span in spans if span.trace_uid is not None})
    projects = sorted({span.project_id for span in spans})
    await cursor.execute(_SELECT_RELATIVES, [traces, projects, MAX_RELATIVES])
    return [_read_relative(*record) for record in await cursor.fetchall()]


async def _settle_counted(
    cursor: psycopg.AsyncCursor[Any], spans: Sequence[NewSpan], relatives: Sequence[_Relative]
) -> list[_Relative]:
    """Decide whose tokens count. Returns stored spans whose tokens no longer do, their rows changed."""
    family: dict[str, list[tuple[str, str | None, bool]]] = {span.project_id: [] for span in spans}
    family.update({relative.project_id: [] for relative in relatives})
    members: list[NewSpan | _Relative] = [*spans, *relatives]
    for member in members:
        family[member.project_id].append((member.span_uid, member.parent_uid, member.has_numbers))
    uncounted = {project_id: find_uncounted(members) for project_id, members in family.items()}
    for span in spans:
        span.is_counted = span.span_uid not in uncounted[span.project_id]
    flipped = [
        relative
        for relative in relatives
        if relative.is_counted and relative.span_uid in uncounted[relative.project_id]
    ]
    if flipped:
        await cursor.execute(
            "UPDATE spans SET is_counted = false FROM unnest(%s::uuid[], %s::uuid[]) AS t (p, u)"
            " WHERE project_id = t.p AND span_uid = t.u",
            [[relative.project_id for relative in flipped], [relative.span_uid for relative in flipped]],
        )
    return flipped


def _read_relative(
    project_id: str,
    span_uid: str,
    parent_uid: str | None,
    session_uid: str,
    start_ns: int,
    event_type: str,
    event_name: str,
    model: str | None,
    is_counted: bool,
    *numbers: Any,
) -> _Relative:
    project = project_id.replace("-", "")
    prompt_tokens, completion_tokens, total_tokens, cost_usd = numbers
    return _Relative(
        project,
        span_uid.replace("-", ""),
        None if parent_uid is None else parent_uid.replace("-", ""),
        session_uid.replace("-", ""),
        make_hour_key(project, start_ns, event_type, event_name, model),
        is_counted,
        prompt_tokens or 0,
        completion_tokens or 0,
        total_tokens,
        cost_usd,
    )


_COPY: Final = sql.SQL("COPY spans ({}) FROM STDIN").format(sql.SQL(", ").join(map(sql.Identifier, COLUMNS)))
_SELECT_KNOWN: Final[LiteralString] = """
SELECT s.project_id::text, s.span_uid::text FROM unnest(%s::uuid[], %s::uuid[]) AS t (p, u)
JOIN spans s ON s.project_id = t.p AND s.span_uid = t.u
"""


async def _insert_spans(
    cursor: psycopg.AsyncCursor[Any], spans: Sequence[NewSpan], relatives: Sequence[_Relative]
) -> set[SpanKey]:
    """Insert the rows of spans that are not there. Returns project and uid of those that were.

    Copied straight into the table: under ``WRITERS_LOCK`` nobody else inserts, so what is there is known
    before. A span that is stored stands among its trace's; only an event of the API, which has no trace, is
    looked for by itself. Should one be met all the same, because an event bears the uid of a span, all are
    looked for.
    """
    known = {(relative.project_id, relative.span_uid) for relative in relatives}
    known |= await _find_known(cursor, [span for span in spans if span.trace_uid is None])
    await cursor.execute("SAVEPOINT before_copy")
    try:
        await _copy(cursor, spans, known)
    except psycopg.errors.UniqueViolation:
        await cursor.execute("ROLLBACK TO SAVEPOINT before_copy")
        known |= await _find_known(cursor, spans)
        await _copy(cursor, spans, known)
    return known


async def _copy(cursor: psycopg.AsyncCursor[Any], spans: Sequence[NewSpan], known: set[SpanKey]) -> None:
    fresh = [span for span in spans if (span.project_id, span.span_uid) not in known]
    if fresh:
        lines = await asyncio.to_thread(_render, fresh)
        async with cursor.copy(_COPY) as copy:
            await copy.write(lines)


async def _find_known(cursor: psycopg.AsyncCursor[Any], spans: Sequence[NewSpan]) -> set[SpanKey]:
    if not spans:
        return set()
    await cursor.execute(
        _SELECT_KNOWN, [[span.project_id for span in spans], [span.span_uid for span in spans]]
    )
    return {(p.replace("-", ""), u.replace("-", "")) for p, u in await cursor.fetchall()}


def _render(spans: Sequence[NewSpan]) -> bytes:
    return b"".join([render_line(span) for span in spans])


async def _insert_batches(cursor: psycopg.AsyncCursor[Any], arrivals: Sequence[Arrival]) -> None:
    """Keep the bodies of requests that brought something new, and what their spans have in common."""
    resources: dict[tuple[str, str], Resource] = {}
    for arrival in arrivals:
        batch = arrival.batch
        if batch is None or all(span.span_uid in arrival.known_uids for span in arrival.spans):
            continue
        if arrival.known_uids:
            batch = await asyncio.to_thread(_leave_out_known, batch, arrival)
        resources.update({(arrival.project_id, uid): shared for uid, shared in arrival.resources.items()})
        await cursor.execute(
            "INSERT INTO span_batches (batch_id, project_id, schema, schema_version, spans_count, size_bytes,"
            " body) VALUES (%s, %s, %s, 1, %s, %s, %s)",
            [
                batch.batch_id,
                arrival.project_id,
                batch.schema,
                batch.spans_count,
                batch.size_bytes,
                batch.body,
            ],
        )
    if resources:
        keys = sorted(resources)
        await cursor.execute(
            "INSERT INTO span_resources (project_id, resource_id, resource_json, scope_json)"
            " SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::jsonb[], %s::jsonb[]) ON CONFLICT DO NOTHING",
            [
                [key[0] for key in keys],
                [key[1] for key in keys],
                [dump_json(resources[key].resource).decode() for key in keys],
                [dump_json(resources[key].scope).decode() for key in keys],
            ],
        )


def _leave_out_known(batch: Batch, arrival: Arrival) -> Batch:
    """Return a body without the spans that another body holds already: deleting one deletes all there is of it."""
    request = decode_body(batch.schema, batch.body)
    kept = {
        span.batch_position
        for span in arrival.spans
        if span.batch_position is not None and span.span_uid not in arrival.known_uids
    }
    plain = None if request is None else empty_spans(request, kept)
    if plain is None:
        return batch
    body = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(plain)
    return replace(batch, body=body, size_bytes=len(plain), spans_count=len(kept))
