"""How often services, cells and pipelines came to their end without help, day by day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Date, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.analysis import ServiceDay, count_service_successes
from referee.core.vocabulary import Service
from referee.foundation.statistics import Interval, compute_share_interval
from referee.pipelines.planning import CELL_KEY_PREFIX
from referee.pipelines.states import CellState, PipelineState
from referee.pipelines.tables import CellRow, PipelineRow

__all__ = ["MAX_DAYS_COUNT", "RATED", "DayCount", "SuccessRates", "read_service_rates", "read_success_rates"]

MAX_DAYS_COUNT: Final = 366
RATED: Final = (
    Service.static.value,
    Service.dynamic.value,
    Service.performance.value,
    Service.ai.value,
    "cells",
    "pipelines",
)
"""What has a rate, in the order it is shown."""
_LEFT_OUT_CELLS: Final = (CellState.cancelled.value, CellState.skipped.value)


@dataclass(frozen=True, slots=True)
class DayCount:
    """Successes of one day."""

    succeeded_count: int
    total_count: int

    @property
    def rate(self) -> float | None:
        """Share of successes; None on a day without a case."""
        return self.succeeded_count / self.total_count if self.total_count else None

    def __add__(self, other: DayCount) -> DayCount:
        return DayCount(self.succeeded_count + other.succeeded_count, self.total_count + other.total_count)


_NONE = DayCount(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessRates:
    """Successes of a project by day and kind."""

    days: Sequence[date]
    """Every day in UTC, also those on which nothing ended; the earliest first."""
    counts: Mapping[tuple[str, date], DayCount]

    def find(self, kind: str, on: date) -> DayCount:
        """Return the successes of a kind (one of ``RATED``) on a day."""
        return self.counts.get((kind, on), _NONE)

    def sum_up(self, kind: str) -> DayCount:
        """Return the successes of a kind on all days."""
        return sum((self.find(kind, day) for day in self.days), _NONE)

    def compute_interval(self, kind: str) -> Interval | None:
        """Return the rate of a kind with its 95 % interval (Wilson); None without a case."""
        counted = self.sum_up(kind)
        if not counted.total_count:
            return None
        return compute_share_interval(counted.succeeded_count, counted.total_count)


async def read_success_rates(
    session: AsyncSession, project_id: UUID, *, days_count: int = 30, today: date | None = None
) -> SuccessRates:
    """Return the rates of the last days, today included.

    A service succeeds in an analysis when every tool that could be had came to a result; a cell when it is valid;
    a pipeline when all its cells are. Cancelled ones, skipped cells and tools that cannot be had do not count.
    Of a cell that was tried again the last try counts: the rates are of what came to its end without help.
    """
    last = today or datetime.now(UTC).date()
    days = [last - timedelta(days=back) for back in range(days_count - 1, -1, -1)]
    since = datetime(days[0].year, days[0].month, days[0].day, tzinfo=UTC)
    services = await _count_services(session, project_id, since)
    counts = {(one.service.value, one.on): DayCount(one.succeeded_count, one.total_count) for one in services}
    counts |= await _count_cells(session, project_id, since)
    counts |= await _count_pipelines(session, project_id, since)
    return SuccessRates(days=days, counts=counts)


async def read_service_rates(
    session: AsyncSession, project_id: UUID, *, since: datetime
) -> Mapping[str, DayCount]:
    """Return the successes of each service since an instant, counted as ``read_success_rates`` does."""
    sums: dict[str, DayCount] = {}
    for one in await _count_services(session, project_id, since):
        counted = DayCount(one.succeeded_count, one.total_count)
        sums[one.service.value] = sums.get(one.service.value, _NONE) + counted
    return sums


async def _count_services(session: AsyncSession, project_id: UUID, since: datetime) -> Sequence[ServiceDay]:
    last_tries = (
        select(CellRow.analysis_id)
        .join(PipelineRow, PipelineRow.pipeline_id == CellRow.pipeline_id)
        .where(PipelineRow.project_id == project_id, CellRow.analysis_id.is_not(None))
    )
    return await count_service_successes(
        session, project_id, since=since, retried_prefix=CELL_KEY_PREFIX, last_tries=last_tries
    )


async def _count_cells(
    session: AsyncSession, project_id: UUID, since: datetime
) -> dict[tuple[str, date], DayCount]:
    day = cast(func.timezone("UTC", CellRow.finished_at), Date)
    rows = await session.execute(
        select(day, func.count().filter(CellRow.is_valid), func.count())
        .join(PipelineRow, PipelineRow.pipeline_id == CellRow.pipeline_id)
        .where(
            PipelineRow.project_id == project_id,
            CellRow.finished_at >= since,
            CellRow.state.not_in(_LEFT_OUT_CELLS),
        )
        .group_by(day)
    )
    return {("cells", on): DayCount(valid, total) for on, valid, total in rows}


async def _count_pipelines(
    session: AsyncSession, project_id: UUID, since: datetime
) -> dict[tuple[str, date], DayCount]:
    day = cast(func.timezone("UTC", PipelineRow.finished_at), Date)
    rows = await session.execute(
        select(day, func.count().filter(PipelineRow.state == PipelineState.completed.value), func.count())
        .where(
            PipelineRow.project_id == project_id,
            PipelineRow.finished_at >= since,
            PipelineRow.state != PipelineState.cancelled.value,
        )
        .group_by(day)
    )
    return {("pipelines", on): DayCount(completed, total) for on, completed, total in rows}
