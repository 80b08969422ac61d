"""Reads attributes of stored spans again, when the table of the mapping got a new version.

What a span was sent with stands in its request's body. Body by body, in one
transaction each, the spans that an older version has read are mapped again,
their rows rewritten and all sums corrected. A span carries the version that
read it, so what was done is done: an interrupted run goes on, and a finished
one finds nothing.

What came after a span - scores, feedback, what is known of the user, any member
that no attribute explains - stays. A value that the new version puts elsewhere
moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, exists, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.foundation.store import Database
from referee.traces.bodies import decode_body
from referee.traces.counting import find_uncounted
from referee.traces.mapping import MAPPING_VERSION, MappedSpan
from referee.traces.mapping.applying import BUCKETS
from referee.traces.otlp.spans import DecodedRequest
from referee.traces.rollups import add_hours, add_sessions, compute_hours, compute_sessions
from referee.traces.room import TracesRoom
from referee.traces.rows import NewSpan, build_span, read_back
from referee.traces.statements import get_driver
from referee.traces.tables import SessionRow, SpanBatchRow, SpanRow
from referee.traces.updating import WRITERS_LOCK

__all__ = ["Remapped", "VersionCounts", "count_versions", "remap_some"]

MAX_RELATIVES: Final = 50_000
"""Spans of one body's traces that are looked through for whose tokens count."""
_LATER: Final = ("metrics", "feedback", "user_properties")
"""Buckets whose stored members win: evaluators and people write there after the span."""
_COLUMNS: Final = ("event_type", "event_name", "source", "error", "model", "provider", "user_id",
    "prompt_tokens", "completion_tokens", "total_tokens", "cost_usd")  # fmt: skip


@dataclass(frozen=True, slots=True)
class VersionCounts:
    """Stored spans by the version that read them."""

    current_version: int
    counts: dict[int, int]
    older_count: int
    """Of an older version, with their body still there."""


@dataclass(frozen=True, slots=True)
class Remapped:
    """What one round did."""

    bodies_count: int
    remapped_count: int
    changed_count: int
    is_finished: bool
    """Whether no span of an older version is left whose body is there."""


async def count_versions(database: Database, project_id: UUID) -> VersionCounts:
    """Count a project's spans by version; events of the events API have no attributes and are not counted."""
    has_body = exists().where(SpanBatchRow.batch_id == SpanRow.batch_id)
    statement = (
        select(SpanRow.mapping_version, func.count(), func.count().filter(has_body))
        .where(SpanRow.project_id == project_id, SpanRow.batch_id.is_not(None))
        .group_by(SpanRow.mapping_version)
        .order_by(SpanRow.mapping_version)
    )
    async with database.reading() as session:
        found = (await session.execute(statement)).all()
    return VersionCounts(
        MAPPING_VERSION,
        {version: count for version, count, _ in found},
        sum(with_body for version, _, with_body in found if version < MAPPING_VERSION),
    )


async def remap_some(room: TracesRoom, project_id: UUID, bodies_count: int) -> Remapped:
    """Map the older spans of at most so many bodies again.

    Args:
        room: Database and prices.
        project_id: Whose.
        bodies_count: Bodies at most, each in a transaction of its own.
    """
    batch_ids = await _list_bodies(room.database, project_id, bodies_count + 1)
    remapped_count = changed_count = 0
    for batch_id in batch_ids[:bodies_count]:
        remapped, changed = await _remap_body(room, project_id, batch_id)
        remapped_count += remapped
        changed_count += changed
    done_count = min(len(batch_ids), bodies_count)
    return Remapped(done_count, remapped_count, changed_count, len(batch_ids) <= bodies_count)


async def _list_bodies(database: Database, project_id: UUID, limit: int) -> list[UUID]:
    """Return bodies with older spans."""
    statement = (
        select(SpanRow.batch_id)
        .join(SpanBatchRow, SpanBatchRow.batch_id == SpanRow.batch_id)
        .where(SpanRow.project_id == project_id, SpanRow.mapping_version < MAPPING_VERSION)
        .distinct()
        .limit(limit)
    )
    async with database.reading() as session:
        return [batch_id for batch_id in await session.scalars(statement) if batch_id is not None]


async def _remap_body(room: TracesRoom, project_id: UUID, batch_id: UUID) -> tuple[int, int]:
    """Map the older spans of one body again. Returns how many, and how many became something else."""
    find_cost = await room.prices.load(project_id.hex)
    async with room.database.transaction() as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
        batch = await session.get(SpanBatchRow, batch_id)
        request = None if batch is None else await asyncio.to_thread(decode_body, batch.schema, batch.body)
        mapped: dict[str, NewSpan] = {}
        if request is not None:
            mapped = await asyncio.to_thread(_map_again, project_id, batch_id, request, find_cost)
        rows = await _list_older(session, project_id, batch_id, mapped)
        before = [read_back(row) for row in rows]
        known = {row.span_uid: _describe(row) for row in rows}
        for row in rows:
            span = mapped.get(row.span_uid.hex)
            if span is not None:
                _apply(row, span)
            row.mapping_version = MAPPING_VERSION
        flipped = await _settle_counted(session, project_id, rows)
        before += [read_back(row) for row in flipped]
        for row in flipped:
            row.is_counted = not row.is_counted
        await session.flush()
        await _correct_sums(session, before, [*rows, *flipped], mapped)
    return len(rows), sum(_describe(row) != known[row.span_uid] for row in rows)


def _map_again(
    project_id: UUID,
    batch_id: UUID,
    request: DecodedRequest,
    find_cost: Callable[[MappedSpan], float | None],
) -> dict[str, NewSpan]:
    """Return what the spans of a body are by the present version, by their uids."""
    no_resources = {id(span.resource): "" for span in request.spans}
    spans = [
        build_span(span, project_id.hex, batch_id.hex, no_resources, find_cost) for span in request.spans
    ]
    return {span.span_uid: span for span in spans}


async def _list_older(
    session: AsyncSession, project_id: UUID, batch_id: UUID, mapped: Mapping[str, NewSpan]
) -> list[SpanRow]:
    """Return the rows to be read again. Of a body that cannot be read any more: those that name it."""
    conditions = [
        SpanRow.project_id == project_id,
        SpanRow.batch_id == batch_id,
        SpanRow.mapping_version < MAPPING_VERSION,
    ]
    if mapped:
        conditions.append(SpanRow.span_uid == func.any([UUID(uid) for uid in mapped]))
    found = await session.scalars(
        select(SpanRow).where(*conditions).order_by(SpanRow.span_uid).with_for_update()
    )
    return list(found)


def _describe(row: SpanRow) -> list[object]:
    values = [getattr(row, f"{bucket}_json") for bucket in BUCKETS]
    return [*values, *(getattr(row, name) for name in _COLUMNS), row.session_uid, row.parent_uid]


def _apply(row: SpanRow, span: NewSpan) -> None:
    """Write what a span says by the present version into its row."""
    mapped = span.mapped
    new: dict[str, dict[str, JsonValue]] = {bucket: getattr(mapped, bucket) for bucket in BUCKETS}
    for bucket in BUCKETS:
        stored: dict[str, JsonValue] = getattr(row, f"{bucket}_json")
        setattr(row, f"{bucket}_json", _merge(bucket, stored, new))
    for name in _COLUMNS:
        value = getattr(mapped, name)
        if value is not None:
            setattr(row, name, value)
    row.session_uid = UUID(span.session_uid)
    row.parent_uid = None if span.parent_uid is None else UUID(span.parent_uid)
    row.event_id, row.parent_event_id = span.event_id, span.parent_event_id


def _merge(
    bucket: str, stored: Mapping[str, JsonValue], new: Mapping[str, Mapping[str, JsonValue]]
) -> dict[str, JsonValue]:
    """Return a bucket by the present version, with what it held beyond the span's attributes."""
    merged = dict(new[bucket])
    for key, value in stored.items():
        if key in merged:
            merged[key] = value if bucket in _LATER else merged[key]
        elif not any(
            value == other and type(value) is type(other) for one in new.values() for other in one.values()
        ):
            merged[key] = value
    return merged


async def _settle_counted(session: AsyncSession, project_id: UUID, rows: Sequence[SpanRow]) -> list[SpanRow]:
    """Decide whose tokens count among these rows. Returns others of their traces that now do or no longer do."""
    own = {row.span_uid for row in rows}
    relatives = await session.execute(
        select(
            SpanRow.span_uid, SpanRow.parent_uid, SpanRow.total_tokens, SpanRow.cost_usd, SpanRow.is_counted
        )
        .where(SpanRow.project_id == project_id, SpanRow.trace_id.in_({row.trace_id for row in rows}))
        .limit(MAX_RELATIVES)
    )
    others = [relative for relative in relatives.all() if relative[0] not in own]
    members = [(row.span_uid, row.parent_uid, row.total_tokens, row.cost_usd) for row in rows]
    uncounted = find_uncounted(
        (uid.hex, None if parent is None else parent.hex, tokens is not None or cost is not None)
        for uid, parent, tokens, cost in [*members, *(relative[:4] for relative in others)]
    )
    for row in rows:
        row.is_counted = row.span_uid.hex not in uncounted
    flipped = [uid for uid, _, _, _, is_counted in others if is_counted is (uid.hex in uncounted)]
    found = await session.scalars(
        select(SpanRow)
        .where(SpanRow.project_id == project_id, SpanRow.span_uid.in_(flipped))
        .with_for_update()
    )
    return list(found)


async def _correct_sums(
    session: AsyncSession,
    before: Sequence[NewSpan],
    rows: Sequence[SpanRow],
    mapped: Mapping[str, NewSpan],
) -> None:
    """Take out of sessions and hours what the rows added before, and add what they add now."""
    after = [read_back(row) for row in rows]
    for span in after:
        if span.span_uid in mapped:
            span.session_id = mapped[span.span_uid].session_id
    taken = compute_sessions(before, -1)
    for totals in taken.values():
        totals.name = totals.root_name = totals.source = ""
        totals.start_ns = totals.end_ns = totals.user_id = None
    async with (await get_driver(session)).cursor() as cursor:
        for sessions in (taken, compute_sessions(after)):
            await add_sessions(cursor, sessions)
        for hours in (compute_hours(before, -1), compute_hours(after)):
            await add_hours(cursor, hours)
    left = {UUID(uid) for _, uid in taken} - {row.session_uid for row in rows}
    if left:
        is_used: Any = exists().where(
            SpanRow.project_id == SessionRow.project_id, SpanRow.session_uid == SessionRow.session_uid
        )
        await session.execute(
            delete(SessionRow).where(
                SessionRow.project_id == rows[0].project_id, SessionRow.session_uid.in_(left), ~is_used
            )
        )
