"""What overviews show of alerts and of Referee's own metrics: rules that fire now, and samples summed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Interval, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.alerts.queries import list_rules
from referee.alerts.tables import MetricSampleRow
from referee.alerts.views import Rule
from referee.alerts.words import RuleState

__all__ = ["SampleSum", "count_observations", "list_firing", "sum_samples"]


@dataclass(frozen=True, slots=True)
class SampleSum:
    """What a counter grew by in one part of a window, in all processes together."""

    at: datetime
    """Where the part begins."""
    name: str
    labels: str
    value: float


async def list_firing(session: AsyncSession, project_id: UUID, *, limit: int) -> Sequence[Rule]:
    """Return the rules of a project that fire now, the worst first."""
    page = await list_rules(session, project_id, limit=limit)  # those that fire come first
    return [rule for rule in page.items if rule.state is RuleState.triggered]


async def sum_samples(
    session: AsyncSession, names: Sequence[str], *, from_at: datetime, to_at: datetime, bucket_s: int
) -> Sequence[SampleSum]:
    """Return what counters grew by, by part of a window; parts in which one did not grow are left out."""
    length = bindparam("length", timedelta(seconds=bucket_s), Interval, unique=True)
    part = func.date_bin(length, MetricSampleRow.at, from_at).label("part")
    rows = await session.execute(
        select(part, MetricSampleRow.name, MetricSampleRow.labels, func.sum(MetricSampleRow.value))
        .where(MetricSampleRow.name.in_(names), MetricSampleRow.at >= from_at, MetricSampleRow.at < to_at)
        .group_by("part", MetricSampleRow.name, MetricSampleRow.labels)
        .order_by("part")
    )
    return [SampleSum(at, name, labels, float(value)) for at, name, labels, value in rows]


async def count_observations(
    session: AsyncSession, name: str, *, from_at: datetime, to_at: datetime
) -> Mapping[float, int]:
    """Return how many observations of a histogram fell into each bucket: upper bound → count.

    What was beyond the last bound counts at its double, as ``sampling`` writes it.
    """
    rows = await session.execute(
        select(MetricSampleRow.value, func.sum(MetricSampleRow.weight))
        .where(MetricSampleRow.name == name, MetricSampleRow.at >= from_at, MetricSampleRow.at < to_at)
        .group_by(MetricSampleRow.value)
        .order_by(MetricSampleRow.value)
    )
    return {float(bound): int(count) for bound, count in rows}
