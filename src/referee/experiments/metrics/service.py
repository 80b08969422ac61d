"""Verbs of metrics: each change is a version that stays, and one of them is deployed."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.errors import Conflict, TooManyRequests
from referee.core.pages import MAX_LIMIT
from referee.experiments.creations import claim_creation
from referee.experiments.identifiers import make_not_found
from referee.experiments.metrics import queries
from referee.experiments.metrics.tables import MetricRow, MetricVersionRow
from referee.experiments.metrics.views import MetricVersion

__all__ = [
    "create_metric",
    "create_metric_version",
    "delete_metric",
    "deploy_metric_version",
    "update_metric",
]

MAX_VERSIONS_COUNT = MAX_LIMIT
"""Of one metric: as many as one answer lists."""


async def create_metric(
    session: AsyncSession, project_id: UUID, content: dict[str, Any], *, idempotency_key: str | None = None
) -> UUID:
    """Create a metric, its first version deployed. Returns its id.

    Args:
        session: In a transaction.
        project_id: Whose.
        content: Every member of a version's content, checked.
        idempotency_key: The client's name for this creation.

    Raises:
        Conflict: The project has a metric of that name, or the key was used for another creation.
    """
    metric_id, is_new = await claim_creation(session, project_id, "metric", idempotency_key, content)
    if is_new:
        await _check_name(session, project_id, content["name"], None)
        session.add(
            MetricRow(
                metric_id=metric_id,
                project_id=project_id,
                deployed_version=1,
                versions_count=1,
                **_columns(content),
            )
        )
        await session.flush()
        session.add(_make_version(project_id, metric_id, 1, "Created.", content, ""))
        await session.flush()
    return metric_id


async def update_metric(
    session: AsyncSession, project_id: UUID, metric_id: UUID, changes: dict[str, Any]
) -> None:
    """Change what is given of the deployed version, as a next version that is deployed at once.

    Raises:
        NotFound: There is no such metric.
        Conflict: The project has another metric of that name.
    """
    row = await queries.get_metric_row(session, project_id, metric_id, is_locked=True)
    content = {**row.content_json, **changes}
    if content == row.content_json:
        return
    version = await _append(session, row, "Updated.", content)
    await _deploy(session, row, version.version, content)


async def create_metric_version(
    session: AsyncSession,
    project_id: UUID,
    metric_id: UUID,
    *,
    message: str,
    content: dict[str, Any],
    is_deployed: bool,
) -> MetricVersion:
    """Add a version, deployed or to be deployed later.

    Raises:
        NotFound: There is no such metric.
        Conflict: It is deployed, and the project has another metric of its name.
        TooManyRequests: The metric has as many versions as are kept.
    """
    row = await queries.get_metric_row(session, project_id, metric_id, is_locked=True)
    made = await _append(session, row, message, content)
    if is_deployed:
        await _deploy(session, row, made.version, content)
    return await queries.get_metric_version(session, project_id, metric_id, f"v{made.version}")


async def deploy_metric_version(
    session: AsyncSession, project_id: UUID, metric_id: UUID, name: str
) -> MetricVersion:
    """Have a metric judge by one of its versions from now on.

    Raises:
        NotFound: There is no such metric, or it has no such version.
        Conflict: The project has another metric of the version's name.
    """
    row = await queries.get_metric_row(session, project_id, metric_id, is_locked=True)
    found = await queries.get_metric_version(session, project_id, metric_id, name)
    await _deploy(session, row, found.version, found.content)
    return await queries.get_metric_version(session, project_id, metric_id, name)


async def delete_metric(session: AsyncSession, project_id: UUID, metric_id: UUID) -> None:
    """Delete a metric with its versions; scores that it gave stay.

    Raises:
        NotFound: There is no such metric.
    """
    gone = await session.scalar(
        delete(MetricRow)
        .where(MetricRow.project_id == project_id, MetricRow.metric_id == metric_id)
        .returning(MetricRow.metric_id)
    )
    if gone is None:
        raise make_not_found("metric", metric_id)


async def _append(
    session: AsyncSession, row: MetricRow, message: str, content: dict[str, Any]
) -> MetricVersionRow:
    if row.versions_count >= MAX_VERSIONS_COUNT:
        raise TooManyRequests(
            "metric.too_many_versions",
            f"The metric has {row.versions_count:,} versions, and no more are kept.",
            "Create another metric.",
        )
    before = await session.scalar(
        select(MetricVersionRow.full_sha).where(
            MetricVersionRow.metric_id == row.metric_id, MetricVersionRow.version == row.versions_count
        )
    )
    row.versions_count += 1
    made = _make_version(row.project_id, row.metric_id, row.versions_count, message, content, before or "")
    session.add(made)
    await session.flush()
    return made


async def _deploy(session: AsyncSession, row: MetricRow, version: int, content: dict[str, Any]) -> None:
    await _check_name(session, row.project_id, content["name"], row.metric_id)
    for name, value in _columns(content).items():
        setattr(row, name, value)
    row.deployed_version = version
    row.updated_at = await session.scalar(select(func.clock_timestamp()))
    await session.flush()


async def _check_name(session: AsyncSession, project_id: UUID, name: str, metric_id: UUID | None) -> None:
    """Refuse a name that another metric has: scores are found by it."""
    await session.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(f"metrics:{project_id}", 0)))
    )
    other = await session.scalar(
        select(MetricRow.metric_id).where(MetricRow.project_id == project_id, MetricRow.name == name)
    )
    if other not in (None, metric_id):
        raise Conflict(
            "metric.name_taken",
            f"There is a metric {name[:80]!r} already, and scores are found by this name.",
            "Choose another name, or change the metric that is there.",
        )


def _columns(content: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": content["name"],
        "kind": content["type"],
        "is_enabled": content["enabled_in_prod"],
        "sampling_percentage": content["sampling_percentage"],
        "content_json": content,
    }


def _make_version(
    project_id: UUID, metric_id: UUID, version: int, message: str, content: dict[str, Any], before: str
) -> MetricVersionRow:
    signed = json.dumps([before, message, content], sort_keys=True).encode()
    return MetricVersionRow(
        metric_id=metric_id,
        version=version,
        project_id=project_id,
        full_sha=hashlib.sha256(signed).hexdigest(),
        message=message,
        content_json=content,
    )
