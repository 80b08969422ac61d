"""How often each service did what it was asked to, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Date, Select, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis.tables import AnalysisRow, ToolRunRow
from referee.core.vocabulary import AnalysisState, Outcome, Service

__all__ = ["ServiceDay", "count_service_successes"]

_COMPLETE = [outcome.value for outcome in Outcome if outcome.is_complete]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDay:
    """One service on one day."""

    on: date
    """Day in UTC on which the analyses ended."""
    service: Service
    total_count: int
    """Analyses that asked this service for at least one tool that could be had."""
    succeeded_count: int
    """Those in which every such tool run succeeded or was not applicable."""


async def count_service_successes(
    session: AsyncSession,
    project_id: UUID,
    *,
    since: datetime,
    retried_prefix: str,
    last_tries: Select[UUID | None],
) -> Sequence[ServiceDay]:
    """Return the successes of each service on each day since an instant, the earliest day first.

    Cancelled analyses do not count, nor do tools that this machine cannot have: both are known before anything
    is tried. Whatever else a tool run came to that is no result is a failure of its service.

    Args:
        session: For the read.
        project_id: Whose.
        since: The end of the earliest analysis.
        retried_prefix: How the idempotency keys begin of analyses that are asked for again when a fault may pass.
        last_tries: Ids of those among them that nobody asked for again; the earlier tries do not count.
    """
    day = cast(func.timezone("UTC", AnalysisRow.finished_at), Date).label("on")
    each = (
        select(
            day,
            ToolRunRow.service,
            func.bool_and(ToolRunRow.outcome.in_(_COMPLETE)).label("is_success"),
        )
        .join(AnalysisRow, AnalysisRow.analysis_id == ToolRunRow.analysis_id)
        .where(
            AnalysisRow.project_id == project_id,
            AnalysisRow.finished_at >= since,
            AnalysisRow.state != AnalysisState.cancelled.value,
            or_(
                AnalysisRow.idempotency_key.is_(None),
                ~AnalysisRow.idempotency_key.startswith(retried_prefix, autoescape=True),
                AnalysisRow.analysis_id.in_(last_tries),
            ),
            ToolRunRow.outcome.is_not(None),
            ToolRunRow.outcome != Outcome.unavailable.value,
        )
        .group_by(day, ToolRunRow.analysis_id, ToolRunRow.service)
        .subquery()
    )
    rows = await session.execute(
        select(each.c.on, each.c.service, func.count(), func.count().filter(each.c.is_success))
        .group_by(each.c.on, each.c.service)
        .order_by(each.c.on, each.c.service)
    )
    return [
        ServiceDay(on=on, service=Service(service), total_count=total, succeeded_count=succeeded)
        for on, service, total, succeeded in rows
    ]
