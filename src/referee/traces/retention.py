"""How long a project keeps its sessions: a number of days, or for ever.

A session goes as a whole, with all its spans, the bodies they came in and what
they add to the sums of hours, once nothing was added to it for that many days
by the server's clock. Clients' clocks may be wrong by years and decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.foundation.jobs import JobContext, JobEngine
from referee.foundation.store import Database
from referee.traces.sessions import delete_sessions
from referee.traces.tables import RetentionRow, SessionRow

__all__ = [
    "MAX_KEEP_DAYS",
    "Retention",
    "RetentionPreview",
    "apply_retention",
    "get_retention",
    "parse_days",
    "preview_retention",
    "register_retention",
    "set_retention",
]

MAX_KEEP_DAYS: Final = 36_500
SESSIONS_AT_ONCE: Final = 50
"""Deleted in one transaction: writers wait for it."""
MAX_SESSIONS: Final = 50_000
"""Of one project in one run; the next run goes on."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """What a project decided."""

    keep_days: int | None
    """Days after the last span of a session; None keeps it for ever."""
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class RetentionPreview:
    """What would go now."""

    keep_days: int
    sessions_count: int
    events_count: int
    """Spans and events, without the sessions' own."""
    oldest_at: datetime | None
    """When the oldest of these sessions got its last span."""


async def get_retention(database: Database, project_id: UUID) -> Retention:
    """Return what a project decided; for ever when it did not."""
    async with database.reading() as session:
        row = await session.get(RetentionRow, project_id)
    return Retention(None, None) if row is None else Retention(row.keep_days, row.updated_at)


async def set_retention(database: Database, project_id: UUID, keep_days: int | None) -> Retention:
    """Decide how long a project keeps its sessions. The next run of the schedule deletes what is older.

    Raises:
        InvalidInput: The days are none that can be meant.
    """
    _check_days(keep_days)
    values = {"project_id": project_id, "keep_days": keep_days, "updated_at": func.now()}
    async with database.transaction() as session:
        await session.execute(
            insert(RetentionRow)
            .values(**values)
            .on_conflict_do_update(index_elements=["project_id"], set_=values)
        )
    return await get_retention(database, project_id)


def parse_days(text: str) -> int | None:
    """Return the days that a person typed; None for ``forever``.

    Raises:
        InvalidInput: It is neither.
    """
    if text.strip().lower() in ("forever", "for ever"):
        return None
    if not text.strip().isascii() or not text.strip().isdigit() or len(text) > 10:
        raise InvalidInput(
            "retention.days_invalid", f"{text[:40]!r} is no number of days.", "Say days, or 'forever'."
        )
    keep_days = int(text)
    _check_days(keep_days)
    return keep_days


async def preview_retention(database: Database, project_id: UUID, keep_days: int) -> RetentionPreview:
    """Return what would go if a project kept its sessions for so many days.

    Raises:
        InvalidInput: The days are none that can be meant.
    """
    _check_days(keep_days)
    statement = select(
        func.count(), func.coalesce(func.sum(SessionRow.events_count), 0), func.min(SessionRow.last_seen_at)
    ).where(*_is_old(project_id, keep_days))
    async with database.reading() as session:
        count, events_count, oldest_at = (await session.execute(statement)).one()
    return RetentionPreview(keep_days, count, int(events_count), oldest_at)


def _check_days(keep_days: int | None) -> None:
    if keep_days is not None and not 1 <= keep_days <= MAX_KEEP_DAYS:
        raise InvalidInput(
            "retention.days_invalid",
            f"Sessions cannot be kept for {keep_days} days.",
            f"Choose 1 to {MAX_KEEP_DAYS}, or keep them for ever.",
        )


def _is_old(project_id: UUID, keep_days: int) -> tuple[ColumnElement[bool], ...]:
    oldest = func.now() - timedelta(days=keep_days)
    return SessionRow.project_id == project_id, SessionRow.last_seen_at < oldest


async def apply_retention(database: Database) -> int:
    """Delete what each project no longer keeps, the oldest first. Returns how many sessions went."""
    async with database.reading() as session:
        decided = (
            await session.execute(
                select(RetentionRow.project_id, RetentionRow.keep_days).where(
                    RetentionRow.keep_days.is_not(None)
                )
            )
        ).all()
    deleted_count = 0
    for project_id, keep_days in decided:
        deleted_count += 0 if keep_days is None else await _apply(database, project_id, keep_days)
    return deleted_count


async def _apply(database: Database, project_id: UUID, keep_days: int) -> int:
    deleted_count = 0
    while deleted_count < MAX_SESSIONS:
        async with database.transaction() as session:
            uids = await _list_old(session, project_id, keep_days)
            await delete_sessions(session, project_id, uids)
        deleted_count += len(uids)
        if len(uids) < SESSIONS_AT_ONCE:
            break
    if deleted_count:
        _log.info("sessions.expired", project_id=str(project_id), sessions_count=deleted_count)
    return deleted_count


async def _list_old(session: AsyncSession, project_id: UUID, keep_days: int) -> list[UUID]:
    statement = select(SessionRow.session_uid).where(*_is_old(project_id, keep_days))
    found = await session.scalars(statement.order_by(SessionRow.last_seen_at).limit(SESSIONS_AT_ONCE))
    return list(found)


def register_retention(database: Database, engine: JobEngine) -> None:
    """Have what is too old deleted once an hour. Called before the engine starts."""

    async def run(context: JobContext, _: dict[str, JsonValue]) -> dict[str, JsonValue]:
        async def apply() -> int:
            return await apply_retention(database)

        return {"sessions_count": await context.step("apply", apply)}

    engine.register_schedule("apply_retention", "23 * * * *", run)
