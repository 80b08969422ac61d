"""Changes to an event: merged into it, or kept until it arrives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.traces.identity import compute_uid
from referee.traces.mapping.applying import BUCKETS
from referee.traces.rows import NewSpan
from referee.traces.tables import EventUpdateRow, SessionRow, SpanRow

__all__ = ["WRITERS_LOCK", "apply_waiting_updates", "change_event", "keep_update"]

WRITERS_LOCK: Final = 0x5EFE_0001
"""Advisory lock: one transaction at a time stores spans, across processes, so that sums stay exact and no
change slips between an event and those who wait for it."""
NS_PER_MS: Final = 1_000_000


async def change_event(
    session: AsyncSession, project_id: UUID, event_id: str, changes: Mapping[str, JsonValue]
) -> bool:
    """Merge changes into an event: members of buckets one by one, the rest replaced. False: it is not there.

    Args:
        session: A transaction.
        project_id: Whose event.
        event_id: As the API shows it.
        changes: Buckets as objects; ``error``, ``event_name``, ``start_time``, ``end_time``, ``duration``
            (milliseconds), ``children_ids``. What is not among them stays.
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
    values = _merge(row, changes)
    if not values:
        return True
    had_feedback = bool(row.feedback_json)
    await session.execute(
        update(SpanRow)
        .where(SpanRow.project_id == project_id, SpanRow.span_uid == row.span_uid)
        .values(**values)
    )
    await _follow_session(session, row, values, had_feedback=had_feedback)
    session.expunge(row)
    return True


def _merge(row: SpanRow, changes: Mapping[str, JsonValue]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for bucket in BUCKETS:
        added = changes.get(bucket)
        if isinstance(added, dict) and added:
            values[f"{bucket}_json"] = {**getattr(row, f"{bucket}_json"), **added}
    if "error" in changes:
        values["error"] = changes["error"]
    if isinstance(changes.get("event_name"), str):
        values["event_name"] = changes["event_name"]
    if isinstance(changes.get("source"), str) and not row.source:
        values["source"] = changes["source"]
    start_ns, end_ns, duration_ns = (
        _read_ns(changes.get(name)) for name in ("start_time", "end_time", "duration")
    )
    if start_ns is not None:
        values["start_ns"] = start_ns
    if end_ns is not None:
        values["end_ns"] = end_ns
    elif duration_ns is not None:
        values["end_ns"] = (start_ns if start_ns is not None else row.start_ns) + duration_ns
    children = changes.get("children_ids")
    if isinstance(children, list):
        held = list(row.children_ids_json or ())
        values["children_ids_json"] = held + [str(child) for child in children if str(child) not in held]
    return values


def _read_ns(value: JsonValue) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value * NS_PER_MS)


async def _follow_session(
    session: AsyncSession, row: SpanRow, values: Mapping[str, Any], *, had_feedback: bool
) -> None:
    """Carry a change of an event into the row of its session."""
    changed: dict[str, Any] = {}
    if "feedback_json" in values and not had_feedback:
        changed["feedback_count"] = SessionRow.feedback_count + 1
    if values.get("end_ns") is not None:
        changed["end_ns"] = func.greatest(SessionRow.end_ns, values["end_ns"])
    if row.event_type == "session" and "event_name" in values:
        changed["name"] = values["event_name"]
    if changed:
        await session.execute(
            update(SessionRow)
            .where(SessionRow.project_id == row.project_id, SessionRow.session_uid == row.session_uid)
            .values(**changed)
        )


async def keep_update(
    session: AsyncSession, project_id: UUID, event_id: str, changes: Mapping[str, JsonValue]
) -> None:
    """Keep changes to an event that has not arrived; the transaction that stores it applies them.

    The caller holds ``WRITERS_LOCK`` and has looked again for the event under it.
    """
    await session.execute(
        insert(EventUpdateRow).values(
            update_id=new_id(),
            project_id=project_id,
            span_uid=UUID(compute_uid(event_id)),
            event_id=event_id,
            changes_json=dict(changes),
        )
    )


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
