"""Changes to an event: merged into it, or kept until it arrives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.traces.arriving import KNOWN_MEMBERS, MAX_NS
from referee.traces.events import NS_PER_MS
from referee.traces.identity import compute_uid
from referee.traces.mapping import MappedSpan
from referee.traces.mapping.applying import BUCKETS, fill_columns
from referee.traces.mapping.shaping import clean_value
from referee.traces.otlp.spans import clean_text
from referee.traces.rollups import add_hours, add_sessions, compute_change
from referee.traces.rows import NewSpan, read_back
from referee.traces.statements import get_driver
from referee.traces.tables import EventUpdateRow, SpanRow

__all__ = ["WRITERS_LOCK", "apply_waiting_updates", "change_event", "keep_update"]

WRITERS_LOCK: Final = 0x5EFE_0001
"""Advisory lock: one transaction at a time stores spans, across processes, so that sums stay exact and no
change slips between an event and those who wait for it."""
KEPT_DAYS: Final = 7
"""An exporter that has not sent a span after a week has lost it."""
_log = structlog.get_logger(__name__)


async def change_event(
    session: AsyncSession, project_id: UUID, event_id: str, changes: Mapping[str, JsonValue]
) -> bool:
    """Merge changes into an event: members of buckets one by one, the rest replaced. False: it is not there.

    What its session and its hour add up to follows, in the same transaction.

    Args:
        session: A transaction.
        project_id: Whose event.
        event_id: As the API shows it.
        changes: Buckets as objects; ``error``, ``event_name``, ``source``, ``end_time``, ``duration``
            (milliseconds), ``children_ids``. What is not among them stays; what an event has no place for
            goes into its metadata.
    """
    uid = UUID(compute_uid(event_id))
    row = await session.scalar(
        select(SpanRow)
        .where(SpanRow.project_id == project_id, or_(SpanRow.span_uid == uid, SpanRow.event_id == event_id))
        .order_by(SpanRow.received_at.desc())
        .limit(1)
        .with_for_update()
    )
    if row is None:
        return False
    before = read_back(row)
    _merge(row, changes)
    after = read_back(row)
    await session.flush()
    sessions, hours = compute_change(before, after)
    async with (await get_driver(session)).cursor() as cursor:
        await add_sessions(cursor, sessions)
        await add_hours(cursor, hours)
    session.expunge(row)
    return True


def _merge(row: SpanRow, changes: Mapping[str, JsonValue]) -> None:
    changes = {**changes, "metadata": _gather_metadata(changes)}
    for bucket in BUCKETS:
        added = clean_value(changes[bucket]) if bucket in changes else None
        if isinstance(added, dict) and added:
            setattr(row, f"{bucket}_json", {**getattr(row, f"{bucket}_json"), **added})
    if "error" in changes:
        error = changes["error"]
        row.error = None if error is None or error == "" else clean_text(str(error))
    for name in ("event_name", "source"):
        text = changes.get(name)
        if isinstance(text, str) and text:
            setattr(row, name, clean_text(text))
    end_ns, duration_ns = (_read_ns(changes.get(name)) for name in ("end_time", "duration"))
    if end_ns is None and duration_ns is not None:
        end_ns = min(row.start_ns + duration_ns, MAX_NS)
    row.end_ns = end_ns if end_ns is not None else row.end_ns
    children = changes.get("children_ids")
    if isinstance(children, list):
        named = [clean_text(str(child)) for child in children]
        row.children_ids_json = list(dict.fromkeys([*(row.children_ids_json or ()), *named]))
    _fill_columns(row)


def _gather_metadata(changes: Mapping[str, JsonValue]) -> JsonValue:
    """Return the metadata of a change, with what an event has no other place for."""
    said = changes.get("metadata")
    others = {key: value for key, value in changes.items() if key not in KNOWN_MEMBERS and value is not None}
    return {**others, **(said if isinstance(said, dict) else {})}


def _fill_columns(row: SpanRow) -> None:
    """Let columns follow their buckets; what no bucket says stays."""
    mapped = MappedSpan(
        event_type=row.event_type,
        event_name=row.event_name,
        config=row.config_json,
        metadata=dict(row.metadata_json),
        user_properties=row.user_properties_json,
    )
    fill_columns(mapped)
    for name in (
        "model",
        "provider",
        "user_id",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cost_usd",
    ):
        value = getattr(mapped, name)
        if value is not None:
            setattr(row, name, value)


def _read_ns(value: JsonValue) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value * NS_PER_MS)


async def keep_update(
    session: AsyncSession, project_id: UUID, event_id: str, changes: Mapping[str, JsonValue]
) -> None:
    """Keep changes to an event that has not arrived; the transaction that stores it applies them.

    The caller holds ``WRITERS_LOCK`` and has looked again for the event under it. What has waited for
    ``KEPT_DAYS`` is given up here, with a line in the log.
    """
    await _give_up(session, project_id)
    await session.execute(
        insert(EventUpdateRow).values(
            update_id=new_id(),
            project_id=project_id,
            span_uid=UUID(compute_uid(event_id)),
            event_id=event_id,
            changes_json=dict(changes),
        )
    )


async def _give_up(session: AsyncSession, project_id: UUID) -> None:
    old = (
        delete(EventUpdateRow)
        .where(
            EventUpdateRow.project_id == project_id,
            EventUpdateRow.received_at < func.now() - timedelta(days=KEPT_DAYS),
        )
        .returning(EventUpdateRow.event_id)
    )
    for event_id in await session.scalars(old):
        _log.warning("event_update.given_up", project_id=str(project_id), event_id=event_id)


async def apply_waiting_updates(session: AsyncSession, spans: Sequence[NewSpan]) -> None:
    """Apply what waited for these events, in the order it came."""
    if not await session.scalar(select(func.count()).select_from(select(EventUpdateRow).limit(1).subquery())):
        return
    for chunk in _chunk(spans, 1_000):
        uids = [UUID(span.event_uid) for span in chunk]
        projects = {UUID(span.project_id) for span in chunk}
        waiting = await session.scalars(
            select(EventUpdateRow)
            .where(EventUpdateRow.project_id.in_(projects), EventUpdateRow.span_uid.in_(uids))
            .order_by(EventUpdateRow.update_id)
        )
        for waited in waiting.all():
            if await change_event(session, waited.project_id, waited.event_id, waited.changes_json):
                await session.execute(
                    delete(EventUpdateRow).where(EventUpdateRow.update_id == waited.update_id)
                )


def _chunk(spans: Sequence[NewSpan], size: int) -> Iterable[Sequence[NewSpan]]:
    return (spans[start : start + size] for start in range(0, len(spans), size))
