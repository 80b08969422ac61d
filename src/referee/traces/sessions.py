"""Sessions as a whole: their tree, their sums, and deleting them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, delete, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import NotFound
from referee.core.findings import JsonValue
from referee.foundation.store import Database
from referee.traces.bodies import forget_spans
from referee.traces.events import NS_PER_MS, Event, read_events, render_event, select_spans
from referee.traces.identity import compute_uid
from referee.traces.rollups import add_hours, add_sessions, compute_hours, compute_sessions
from referee.traces.rows import NewSpan, read_back
from referee.traces.statements import get_driver
from referee.traces.tables import SessionRow, SpanRow
from referee.traces.updating import WRITERS_LOCK

__all__ = [
    "MAX_TREE_EVENTS",
    "build_tree",
    "delete_event",
    "delete_session",
    "delete_sessions",
    "get_session_tree",
]

MAX_TREE_EVENTS: Final = 50_000


async def get_session_tree(database: Database, project_id: UUID, session_id: str) -> dict[str, JsonValue]:
    """Return a session's own event with ``children``, at most ``MAX_TREE_EVENTS`` of them.

    Raises:
        NotFound: Nothing names that session.
    """
    uid = UUID(compute_uid(session_id))
    async with database.reading() as session:
        row = await session.get(SessionRow, (project_id, uid))
        if row is None:
            raise _not_found(session_id)
        events = await read_events(
            session,
            select_spans()
            .where(SpanRow.project_id == project_id, SpanRow.session_uid == uid)
            .order_by(SpanRow.start_ns, SpanRow.span_uid)
            .limit(MAX_TREE_EVENTS),
        )
    return build_tree(row, events)


def build_tree(row: SessionRow, events: list[Event]) -> dict[str, JsonValue]:
    """Return the events as a tree below their session; what has no parent here stands below it itself."""
    session_id = row.session_id if row.session_id is not None else str(row.session_uid)
    root: dict[str, Any] | None = None
    nodes: dict[str, dict[str, Any]] = {}
    for event in events:
        node: dict[str, Any] = {**render_event(event), "children": []}
        nodes.setdefault(event.event_id, node)
        if event.event_type == "session" and event.event_id == session_id:
            root = node
    if root is None:
        root = _imagine_root(row, session_id)
    for event in events:
        node = nodes[event.event_id]
        if node is root:
            continue
        parent = nodes.get(event.parent_id or "")
        if parent is None or parent is node or _is_below(nodes, parent, node):
            parent = root
        parent["children"].append(node)
    root["metadata"] = {**root["metadata"], **_sum_up(row)}
    return root


def _is_below(nodes: dict[str, dict[str, Any]], node: dict[str, Any], above: dict[str, Any]) -> bool:
    """Whether following parents from ``node`` leads to ``above``, or in a circle."""
    seen: set[str] = set()
    current: dict[str, Any] | None = node
    while current is not None:
        if current is above or current["event_id"] in seen:
            return True
        seen.add(current["event_id"])
        current = nodes.get(current["parent_id"] or "")
    return False


def _imagine_root(row: SessionRow, session_id: str) -> dict[str, Any]:
    """Return a node for a session that spans speak of and nobody started."""
    start_ms = None if row.start_ns is None else row.start_ns / NS_PER_MS
    end_ms = None if row.end_ns is None else row.end_ns / NS_PER_MS
    return {
        "project_id": str(row.project_id),
        "source": row.source,
        "event_name": row.name,
        "event_type": "session",
        "event_id": session_id,
        "session_id": session_id,
        "parent_id": None,
        "children_ids": [],
        "error": None,
        "start_time": start_ms,
        "end_time": end_ms,
        "duration": None if start_ms is None or end_ms is None else end_ms - start_ms,
        "children": [],
        **{
            name: {}
            for name in (
                "config",
                "inputs",
                "outputs",
                "metadata",
                "feedback",
                "metrics",
                "user_properties",
            )
        },
    }


def _sum_up(row: SessionRow) -> dict[str, JsonValue]:
    return {
        "num_events": row.events_count,
        "num_model_events": row.model_events_count,
        "num_errors": row.errors_count,
        "has_feedback": row.feedback_count > 0,
        "cost": row.cost_usd,
        "total_tokens": row.total_tokens,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
    }


async def delete_session(database: Database, project_id: UUID, session_id: str) -> int:
    """Delete a session with all its events. Returns how many events there were.

    Raises:
        NotFound: Nothing names that session.
    """
    uid = UUID(compute_uid(session_id))
    async with database.transaction() as session:
        await _lock(session)
        if await session.get(SessionRow, (project_id, uid)) is None:
            raise _not_found(session_id)
        return await delete_sessions(session, project_id, [uid])


async def delete_sessions(session: AsyncSession, project_id: UUID, uids: Sequence[UUID]) -> int:
    """Delete sessions with all their events, and what of these stands in kept bodies.

    Args:
        session: A transaction; the writers' lock is held to its end.
        project_id: Whose.
        uids: Uids of sessions.

    Returns:
        How many events there were.
    """
    await _lock(session)
    rows = await _delete_rows(session, project_id, SpanRow.session_uid.in_(uids), keeps_session=False)
    await session.execute(
        delete(SessionRow).where(SessionRow.project_id == project_id, SessionRow.session_uid.in_(uids))
    )
    return len(rows)


async def delete_event(database: Database, project_id: UUID, event_id: str) -> None:
    """Delete one event; those below it stay, and its session's sums no longer hold it.

    Raises:
        NotFound: There is none.
    """
    uid = UUID(compute_uid(event_id))
    async with database.transaction() as session:
        await _lock(session)
        rows = await _delete_rows(
            session,
            project_id,
            or_(SpanRow.span_uid == uid, SpanRow.event_id == event_id),
            keeps_session=True,
        )
    if not rows:
        raise NotFound(
            "events.not_found",
            f"There is no event {event_id[:80]!r}.",
            "Look for it in the list of events.",
        )


async def _lock(session: AsyncSession) -> None:
    await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})


async def _delete_rows(
    session: AsyncSession, project_id: UUID, condition: ColumnElement[bool], *, keeps_session: bool
) -> list[NewSpan]:
    """Delete rows, take them out of the sums and out of the bodies they came in."""
    conditions = (SpanRow.project_id == project_id, condition)
    removed = (await session.scalars(select(SpanRow).where(*conditions).with_for_update())).all()
    spans = [read_back(row) for row in removed]
    batch_ids = [row.batch_id for row in removed if row.batch_id is not None]
    await session.execute(delete(SpanRow).where(*conditions))
    await forget_spans(session, project_id, batch_ids)
    async with (await get_driver(session)).cursor() as cursor:
        await add_hours(cursor, compute_hours(spans, -1))
        if keeps_session:
            sums = compute_sessions(spans, -1)
            for totals in sums.values():
                totals.name = totals.root_name = totals.source = ""
                totals.start_ns = totals.end_ns = totals.user_id = None
            await add_sessions(cursor, sums)
    return spans


def _not_found(session_id: str) -> NotFound:
    return NotFound(
        "sessions.not_found",
        f"There is no session {session_id[:80]!r}.",
        "Look for it in the list of sessions.",
    )
