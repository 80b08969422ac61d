"""Every read of metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.pages import DEFAULT_LIMIT, MAX_LIMIT, Page
from referee.experiments.identifiers import make_not_found
from referee.experiments.listing import list_newest
from referee.experiments.metrics.tables import MetricRow, MetricVersionRow
from referee.experiments.metrics.views import Metric, MetricVersion
from referee.foundation.web.filters import Filter, FilterField, to_where

__all__ = [
    "METRIC_FIELDS",
    "count_metrics",
    "get_metric",
    "get_metric_row",
    "get_metric_version",
    "list_enabled_metrics",
    "list_metric_versions",
    "list_metrics",
]

METRIC_FIELDS: Final[Mapping[str, FilterField]] = {
    "name": FilterField("text", "Part of its name.", is_searched=True, example="name:accuracy"),
    "type": FilterField("enum", "What judges.", ("PYTHON", "LLM", "HUMAN", "COMPOSITE")),
    "enabled": FilterField("flag", "Whether ingested events are judged."),
    "created": FilterField("time", "When it was created.", example="created:>=-7d"),
}
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "name": MetricRow.__table__.c.name,
    "type": MetricRow.__table__.c.kind,
    "enabled": MetricRow.__table__.c.is_enabled,
    "created": MetricRow.__table__.c.created_at,
}
_VERSION_NAME = re.compile(r"v([1-9][0-9]{0,8})")


async def list_metrics(
    session: AsyncSession,
    project_id: UUID,
    *,
    metric_id: UUID | None = None,
    kind: str | None = None,
    where: Filter | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Metric]:
    """Return metrics, newest first.

    Args:
        session: To read with.
        project_id: Whose.
        metric_id: Only this one.
        kind: Only those of this kind.
        where: Only those that match.
        cursor: Of the page before.
        limit: Rows at most.
    """
    conditions: list[ColumnElement[bool]] = [MetricRow.project_id == project_id]
    if metric_id is not None:
        conditions.append(MetricRow.metric_id == metric_id)
    if kind is not None:
        conditions.append(MetricRow.kind == kind)
    if where is not None:
        conditions.append(to_where(where, _COLUMNS))
    page = await list_newest(session, MetricRow, MetricRow.metric_id, conditions, cursor=cursor, limit=limit)
    return page.map(_view)


async def list_enabled_metrics(session: AsyncSession, project_id: UUID) -> list[Metric]:
    """Return the metrics by which ingested events are judged, oldest first."""
    statement = (
        select(MetricRow)
        .where(MetricRow.project_id == project_id, MetricRow.is_enabled)
        .order_by(MetricRow.metric_id)
        .limit(MAX_LIMIT)
    )
    return [_view(row) for row in (await session.scalars(statement)).all()]


async def get_metric(session: AsyncSession, project_id: UUID, metric_id: UUID) -> Metric:
    """Return a metric.

    Raises:
        NotFound: The project has none of that id.
    """
    return _view(await get_metric_row(session, project_id, metric_id))


async def get_metric_row(
    session: AsyncSession, project_id: UUID, metric_id: UUID, *, is_locked: bool = False
) -> MetricRow:
    """Return a metric's row, locked for a change if wanted.

    Raises:
        NotFound: The project has none of that id.
    """
    statement = select(MetricRow).where(MetricRow.project_id == project_id, MetricRow.metric_id == metric_id)
    if is_locked:
        statement = statement.with_for_update()
    row = await session.scalar(statement.execution_options(populate_existing=True))
    if row is None:
        raise make_not_found("metric", metric_id)
    return row


async def count_metrics(session: AsyncSession, project_id: UUID) -> int:
    """Return how many metrics a project has."""
    statement = select(func.count()).select_from(MetricRow).where(MetricRow.project_id == project_id)
    return await session.scalar(statement) or 0


async def list_metric_versions(
    session: AsyncSession, metric: Metric, *, limit: int = MAX_LIMIT, is_newest_first: bool = False
) -> list[MetricVersion]:
    """Return a metric's versions, oldest first unless wanted otherwise."""
    order = MetricVersionRow.version.desc() if is_newest_first else MetricVersionRow.version
    statement = (
        select(MetricVersionRow)
        .where(
            MetricVersionRow.project_id == metric.project_id, MetricVersionRow.metric_id == metric.metric_id
        )
        .order_by(order)
        .limit(limit)
    )
    rows = (await session.scalars(statement)).all()
    return [_view_version(row, metric.deployed_version) for row in rows]


async def get_metric_version(
    session: AsyncSession, project_id: UUID, metric_id: UUID, name: str
) -> MetricVersion:
    """Return a version by its name, such as v2, or its full digest.

    Raises:
        NotFound: There is no such metric, or it has no such version.
    """
    metric = await get_metric(session, project_id, metric_id)
    match = _VERSION_NAME.fullmatch(name)
    is_it = MetricVersionRow.version == int(match[1]) if match else MetricVersionRow.full_sha == name
    row = await session.scalar(
        select(MetricVersionRow)
        .where(MetricVersionRow.metric_id == metric_id, is_it)
        .order_by(MetricVersionRow.version.desc())
        .limit(1)
    )
    if row is None:
        raise make_not_found("metric_version", name)
    return _view_version(row, metric.deployed_version)


def _view(row: MetricRow) -> Metric:
    return Metric(
        metric_id=row.metric_id,
        project_id=row.project_id,
        name=row.name,
        kind=row.kind,
        is_enabled=row.is_enabled,
        sampling_percentage=row.sampling_percentage,
        content=row.content_json,
        deployed_version=row.deployed_version,
        versions_count=row.versions_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _view_version(row: MetricVersionRow, deployed_version: int) -> MetricVersion:
    return MetricVersion(
        version=row.version,
        full_sha=row.full_sha,
        message=row.message,
        content=row.content_json,
        is_deployed=row.version == deployed_version,
        created_at=row.created_at,
    )
