"""Verbs and reads of charts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.pages import DEFAULT_LIMIT, Page
from referee.experiments.charts.tables import ChartRow
from referee.experiments.charts.views import Chart
from referee.experiments.creations import claim_creation
from referee.experiments.identifiers import make_not_found
from referee.experiments.listing import list_newest

__all__ = ["create_chart", "delete_chart", "get_chart", "list_charts", "update_chart"]

_COLUMNS = {"groupBy": "group_by", "dateRange": "date_range_json", "query": "query_json"}
"""Names on the wire → columns, where they differ."""


async def list_charts(
    session: AsyncSession, project_id: UUID, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[Chart]:
    """Return charts, newest first."""
    where = [ChartRow.project_id == project_id]
    page = await list_newest(session, ChartRow, ChartRow.chart_id, where, cursor=cursor, limit=limit)
    return page.map(_view)


async def get_chart(session: AsyncSession, project_id: UUID, chart_id: UUID) -> Chart:
    """Return a chart.

    Raises:
        NotFound: The project has none of that id.
    """
    row = await session.scalar(
        select(ChartRow)
        .where(ChartRow.project_id == project_id, ChartRow.chart_id == chart_id)
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise make_not_found("chart", chart_id)
    return _view(row)


async def create_chart(
    session: AsyncSession, project_id: UUID, content: dict[str, Any], *, idempotency_key: str | None = None
) -> Chart:
    """Create a chart of what the wire says of it, checked.

    Raises:
        Conflict: The key was used for another creation.
    """
    chart_id, is_new = await claim_creation(session, project_id, "chart", idempotency_key, content)
    if is_new:
        session.add(ChartRow(chart_id=chart_id, project_id=project_id, **_columns(content)))
        await session.flush()
    return await get_chart(session, project_id, chart_id)


async def update_chart(
    session: AsyncSession, project_id: UUID, chart_id: UUID, changes: dict[str, Any]
) -> Chart:
    """Change what is given.

    Raises:
        NotFound: There is no such chart.
    """
    if changes:
        await session.execute(
            update(ChartRow)
            .where(ChartRow.project_id == project_id, ChartRow.chart_id == chart_id)
            .values(**_columns(changes), updated_at=func.clock_timestamp())
        )
    return await get_chart(session, project_id, chart_id)


async def delete_chart(session: AsyncSession, project_id: UUID, chart_id: UUID) -> None:
    """Delete a chart.

    Raises:
        NotFound: There is no such chart.
    """
    gone = await session.scalar(
        delete(ChartRow)
        .where(ChartRow.project_id == project_id, ChartRow.chart_id == chart_id)
        .returning(ChartRow.chart_id)
    )
    if gone is None:
        raise make_not_found("chart", chart_id)


def _columns(content: dict[str, Any]) -> dict[str, Any]:
    return {_COLUMNS.get(name, name): value for name, value in content.items()}


def _view(row: ChartRow) -> Chart:
    return Chart(
        chart_id=row.chart_id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        metric=row.metric,
        func=row.func,
        group_by=row.group_by,
        bucketing=row.bucketing,
        date_range=row.date_range_json,
        query=row.query_json,
        owner_id=row.owner_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
