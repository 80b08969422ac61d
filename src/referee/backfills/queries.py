"""Every read of runs that this server was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.backfills.states import RunState
from referee.backfills.tables import BackfillRunRow
from referee.backfills.views import BackfillRun
from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = ["RUN_COLUMNS", "RUN_FIELDS", "count_runs", "get_run", "list_runs", "view_run"]

RUN_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField.of_enum(RunState, "State of the run."),
    "backfill": FilterField(
        "text", "Name of the backfill.", is_searched=True, example="backfill:audit-decisions"
    ),
    "database": FilterField(
        "text", "Part of the database's address.", is_searched=True, example="database:audit.db"
    ),
    "created": FilterField("time", "When it was asked for.", example="created:>=-7d"),
}
RUN_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": BackfillRunRow.__table__.c.state,
    "backfill": BackfillRunRow.__table__.c.backfill,
    "database": BackfillRunRow.__table__.c.database,
    "created": BackfillRunRow.__table__.c.created_at,
}


async def get_run(session: AsyncSession, project_id: UUID, run_id: UUID) -> BackfillRun:
    """Return one run.

    Raises:
        NotFound: The project has no such run.
    """
    row = (
        await session.execute(
            select(BackfillRunRow)
            .where(BackfillRunRow.backfill_run_id == run_id, BackfillRunRow.project_id == project_id)
            .execution_options(populate_existing=True)
        )
    ).scalar_one_or_none()
    if row is None:
        raise NotFound(
            "backfill.run_not_found", "There is no such run of a backfill.", "Look at the list of backfills."
        )
    return view_run(row)


async def list_runs(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[BackfillRun]:
    """Return runs, newest first."""
    conditions = [BackfillRunRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, RUN_COLUMNS))
    total_count = await count_runs(session, *conditions)
    statement = (
        select(BackfillRunRow).where(*conditions).order_by(BackfillRunRow.sequence.desc()).limit(limit + 1)
    )
    if cursor is not None:
        (before,) = decode_cursor(cursor, "backfill_runs")
        statement = statement.where(BackfillRunRow.sequence < int(str(before)))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("backfill_runs", [kept[-1].sequence]) if len(rows) > limit else None
    return Page(tuple(view_run(row) for row in kept), total_count, limit, next_cursor)


async def count_runs(session: AsyncSession, *conditions: ColumnElement[bool]) -> int:
    """Return how many runs meet all conditions."""
    return await session.scalar(select(func.count()).select_from(BackfillRunRow).where(*conditions)) or 0


def view_run(row: BackfillRunRow) -> BackfillRun:
    """Return a row as a value."""
    return BackfillRun(
        backfill_run_id=row.backfill_run_id,
        sequence=row.sequence,
        project_id=row.project_id,
        backfill=row.backfill,
        database=row.database,
        is_dry=row.is_dry,
        request=row.request_json,
        state=RunState(row.state),
        reason=row.reason,
        run=row.run_json,
        progress=row.progress_json,
        job_id=row.job_id,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
