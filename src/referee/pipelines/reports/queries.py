"""Every read of reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import NotFound
from referee.core.pages import DEFAULT_LIMIT, Page
from referee.foundation.store import decode_cursor, encode_cursor
from referee.foundation.web.filters import Filter, FilterField, to_where
from referee.pipelines.reports.states import ReportFile, ReportKind, ReportState
from referee.pipelines.reports.tables import ReportRow
from referee.pipelines.reports.views import Report

__all__ = ["REPORT_FIELDS", "count_reports", "get_report", "list_reports"]

REPORT_FIELDS: Final[Mapping[str, FilterField]] = {
    "state": FilterField.of_enum(ReportState, "State of the report."),
    "kind": FilterField.of_enum(ReportKind, "What it is about."),
    "title": FilterField("text", "Part of its title.", is_searched=True, example="title:spring"),
    "created": FilterField("time", "When it was asked for.", example="created:>=-7d"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "state": ReportRow.__table__.c.state,
    "kind": ReportRow.__table__.c.kind,
    "title": ReportRow.__table__.c.title,
    "created": ReportRow.__table__.c.created_at,
}


async def get_report(session: AsyncSession, project_id: UUID, report_id: UUID) -> Report:
    """Return one report.

    Raises:
        NotFound: The project has no such report.
    """
    row = (
        await session.execute(
            select(ReportRow)
            .where(ReportRow.report_id == report_id, ReportRow.project_id == project_id)
            .execution_options(populate_existing=True)
        )
    ).scalar_one_or_none()
    if row is None:
        raise NotFound(
            "report.not_found", "There is no such report.", "List them with `referee report list`."
        )
    return _view(row)


async def list_reports(
    session: AsyncSession,
    project_id: UUID,
    *,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Report]:
    """Return reports, newest first."""
    conditions = [ReportRow.project_id == project_id]
    if where is not None:
        conditions.append(to_where(where, _COLUMNS))
    total_count = await count_reports(session, *conditions)
    statement = select(ReportRow).where(*conditions).order_by(ReportRow.sequence.desc()).limit(limit + 1)
    if cursor is not None:
        (before,) = decode_cursor(cursor, "reports")
        statement = statement.where(ReportRow.sequence < int(str(before)))
    rows = (await session.scalars(statement)).all()
    kept = rows[:limit]
    next_cursor = encode_cursor("reports", [kept[-1].sequence]) if len(rows) > limit else None
    return Page(tuple(_view(row) for row in kept), total_count, limit, next_cursor)


async def count_reports(session: AsyncSession, *conditions: ColumnElement[bool]) -> int:
    """Return how many reports meet all conditions."""
    return await session.scalar(select(func.count()).select_from(ReportRow).where(*conditions)) or 0


def _view(row: ReportRow) -> Report:
    digests = {file: getattr(row, f"{file.value}_sha256") for file in ReportFile}
    return Report(
        report_id=row.report_id,
        sequence=row.sequence,
        project_id=row.project_id,
        kind=ReportKind(row.kind),
        title=row.title,
        parameters=row.parameters_json,
        state=ReportState(row.state),
        reason=row.reason,
        files={file: digest for file, digest in digests.items() if digest is not None},
        job_id=row.job_id,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
