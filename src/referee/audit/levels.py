"""How the supervisors do: backlog, lag and failures, each ``ok``, ``warn`` or ``critical``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.audit.lags import make_window, read_decision_lag
from referee.audit.recording import DecisionKind
from referee.audit.tables import DecisionRow
from referee.foundation.jobs import count_jobs
from referee.foundation.settings import Settings

__all__ = ["AlertLevel", "SupervisorLevels", "compute_level", "read_levels"]

AlertLevel: TypeAlias = Literal["ok", "warn", "critical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorLevels:
    """Three numbers of the last 24 hours and what each of them means."""

    backlog_count: int
    """Jobs that wait."""
    backlog_level: AlertLevel
    lag_p95_s: float | None
    lag_level: AlertLevel
    failure_rate: float | None
    """Share of the decisions that are errors. None without a decision."""
    failure_level: AlertLevel

    @property
    def level(self) -> AlertLevel:
        """The worst of the three."""
        levels = {self.backlog_level, self.lag_level, self.failure_level}
        return "critical" if "critical" in levels else "warn" if "warn" in levels else "ok"


def compute_level(value: float | None, warn: float, critical: float) -> AlertLevel:
    """Return what a number means: from ``warn`` and from ``critical`` on. Nothing measured is ``ok``."""
    if value is None or value < warn:
        return "ok"
    return "critical" if value >= critical else "warn"


async def read_levels(session: AsyncSession, project_id: UUID, settings: Settings) -> SupervisorLevels:
    """Return backlog, lag and failures of a project's supervisors."""
    window = make_window("24h")
    backlog_count = await count_jobs(session, project_id=project_id, states=("queued",))
    lag = await read_decision_lag(session, project_id, window)
    lag_p95_s = None if lag.p95_ms is None else lag.p95_ms / 1_000
    counted = (
        await session.execute(
            select(func.count(), func.count().filter(DecisionRow.kind == DecisionKind.error.value)).where(
                DecisionRow.project_id == project_id,
                DecisionRow.supervisor_processed_at >= window.from_at,
                DecisionRow.supervisor_processed_at < window.to_at,
            )
        )
    ).one()
    failure_rate = counted[1] / counted[0] if counted[0] else None
    return SupervisorLevels(
        backlog_count=backlog_count,
        backlog_level=compute_level(
            backlog_count, settings.supervisor_backlog_warn_count, settings.supervisor_backlog_critical_count
        ),
        lag_p95_s=lag_p95_s,
        lag_level=compute_level(
            lag_p95_s, settings.supervisor_lag_warn_s, settings.supervisor_lag_critical_s
        ),
        failure_rate=failure_rate,
        failure_level=compute_level(
            failure_rate, settings.supervisor_failure_warn_share, settings.supervisor_failure_critical_share
        ),
    )
