"""Reading the definitions of metrics, in the version that is deployed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.core.findings import JsonValue
from referee.experiments.metrics.tables import MetricRow, MetricVersionRow
from referee.experiments.runs.definitions import MetricDefinition, read_number

__all__ = ["MAX_DEFINITIONS_COUNT", "find_version", "list_definitions", "read_definition"]

MAX_DEFINITIONS_COUNT: Final = 1_000
"""Of one project: far more than anybody computes."""


async def list_definitions(
    session: AsyncSession, project_id: UUID, *, is_enabled: bool | None = None
) -> list[MetricDefinition]:
    """Return the metrics of a project, by name.

    Args:
        session: To read with.
        project_id: Whose.
        is_enabled: Only those that ingested events are judged by, or only the others; None: all.
    """
    statement = select(MetricRow).where(MetricRow.project_id == project_id)
    if is_enabled is not None:
        statement = statement.where(MetricRow.is_enabled.is_(is_enabled))
    rows = await session.scalars(statement.order_by(MetricRow.name).limit(MAX_DEFINITIONS_COUNT))
    return [
        read_definition({**row.content_json, "id": str(row.metric_id)}, version=str(row.deployed_version))
        for row in rows
    ]


async def find_version(
    session: AsyncSession, project_id: UUID, metric_id: UUID, version: str
) -> MetricDefinition | None:
    """Return a metric in one of its versions; None when it is gone."""
    if not version.isdigit():
        return None
    row = await session.scalar(
        select(MetricVersionRow).where(
            MetricVersionRow.project_id == project_id,
            MetricVersionRow.metric_id == metric_id,
            MetricVersionRow.version == int(version),
        )
    )
    if row is None:
        return None
    return read_definition({**row.content_json, "id": str(metric_id)}, version=version)


def read_definition(content: Mapping[str, JsonValue], *, version: str) -> MetricDefinition:
    """Return a definition as it stands on the wire; what is not of the right kind counts as not given."""
    scale = read_number(content.get("scale"))
    sampling = read_number(content.get("sampling_percentage"))
    return MetricDefinition(
        metric_id=str(content.get("id") or ""),
        version=version,
        name=str(content.get("name") or ""),
        type=str(content.get("type") or ""),
        criteria=str(content.get("criteria") or ""),
        return_type=str(content.get("return_type") or "float"),
        enabled_in_prod=content.get("enabled_in_prod") is True,
        sampling_percentage=100.0 if sampling is None else sampling,
        model_provider=_text(content.get("model_provider")),
        model_name=_text(content.get("model_name")),
        scale=None if scale is None else int(scale),
        threshold=_object(content.get("threshold")),
        categories=_list(content.get("categories")),
        needs_ground_truth=content.get("needs_ground_truth") is True,
        child_metrics=_list(content.get("child_metrics")),
        filters=_object(content.get("filters")),
    )


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value else None


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
