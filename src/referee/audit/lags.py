"""Decision lag: how long after an event its supervisor decided.

Read from the two columns, which an index alone answers. A decision whose columns are empty is measured from its
recorded content instead, and counted apart. An instant for which an imported row had nothing better than when
it was written makes a lag of zero that says nothing: such rows are left out unless asked for, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias, get_args
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = [
    "WINDOWS",
    "DecisionLag",
    "LagMethod",
    "LagSample",
    "Window",
    "WindowKind",
    "make_window",
    "read_decision_lag",
]

WindowKind: TypeAlias = Literal["24h", "7d"]
WINDOWS: Final[tuple[WindowKind, ...]] = get_args(WindowKind)
LagMethod: TypeAlias = Literal["columns", "payload"]
_HOURS: Final[dict[WindowKind, int]] = {"24h": 24, "7d": 168}
_SAMPLES_COUNT: Final = 5

_FROM_COLUMNS: Final = """
SELECT decision_id, 'columns' AS source,
  round(date_part('epoch', supervisor_processed_at - source_event_at) * 1e6) / 1e3 AS lag_ms,
  source_event_provenance = 'created_at' OR supervisor_processed_provenance = 'created_at' AS is_fallback
FROM decisions
WHERE project_id = :project_id AND supervisor_processed_at >= :from_at AND supervisor_processed_at < :to_at
  AND source_event_at IS NOT NULL
"""
_FROM_PAYLOAD: Final = """
SELECT decision_id, 'payload' AS source,
  round(date_part('epoch', told.supervisor_processed_at - told.source_event_at) * 1e6) / 1e3 AS lag_ms,
  coalesce(told.source_event_provenance = 'created_at' OR told.supervisor_processed_provenance = 'created_at', false)
    AS is_fallback
FROM decisions CROSS JOIN LATERAL jsonb_to_record(content::jsonb) AS told(
  source_event_at timestamptz, supervisor_processed_at timestamptz,
  source_event_provenance text, supervisor_processed_provenance text)
WHERE project_id = :project_id AND {rows}
  AND coalesce(told.supervisor_processed_at, recorded_at) >= :from_at
  AND coalesce(told.supervisor_processed_at, recorded_at) < :to_at
"""
_INCOMPLETE: Final = _FROM_PAYLOAD.format(
    rows="(decisions.source_event_at IS NULL OR decisions.supervisor_processed_at IS NULL)"
)
_EVERY: Final = _FROM_PAYLOAD.format(rows="true")
_SUMS: Final = """
WITH measured AS ({measured}), judged AS (
  SELECT source, lag_ms, lag_ms >= 0 AND (:has_fallbacks OR NOT is_fallback) AS is_counted, is_fallback FROM measured
)
SELECT count(*) FILTER (WHERE is_counted) AS lags_count,
  percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY lag_ms) FILTER (WHERE is_counted) AS percentiles,
  max(lag_ms) FILTER (WHERE is_counted) AS max_ms,
  count(*) FILTER (WHERE lag_ms < 0) AS negative_count,
  count(*) FILTER (WHERE is_fallback AND lag_ms >= 0) AS fallback_count,
  count(*) FILTER (WHERE lag_ms IS NULL) AS missing_count,
  count(*) FILTER (WHERE source = 'columns') AS columns_count,
  count(*) AS rows_count
FROM judged
"""
_SAMPLES: Final = """
WITH measured AS ({measured})
SELECT decision_id, source, lag_ms FROM measured WHERE lag_ms >= 0 AND (:has_fallbacks OR NOT is_fallback)
ORDER BY lag_ms DESC, decision_id LIMIT :limit
"""
_MEASURED: Final[dict[LagMethod, str]] = {
    "columns": f"{_FROM_COLUMNS} UNION ALL {_INCOMPLETE}",
    "payload": _EVERY,
}


@dataclass(frozen=True, slots=True)
class Window:
    """The decisions of some hours."""

    kind: WindowKind
    from_at: datetime
    to_at: datetime
    """Not included."""


@dataclass(frozen=True, slots=True)
class LagSample:
    """One of the slowest decisions."""

    decision_id: UUID
    lag_ms: float
    source: str
    """``columns`` or ``payload``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLag:
    """Lags of the decisions of a window."""

    window: Window
    lags_count: int
    """Decisions that the percentiles are of."""
    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None
    samples: tuple[LagSample, ...]
    """The slowest five."""
    query_method: str
    """``columns``; ``payload_fallback`` where a column was empty and the content was read."""
    columns_coverage_share: float | None
    """Share of the decisions whose columns are both filled. None without a decision."""
    negative_count: int
    """Decided before the event, so left out: the clocks disagree."""
    fallback_count: int
    """With an instant that is only when the row was written."""
    has_fallbacks: bool
    """Whether those were counted all the same."""
    missing_count: int
    """Without one of the instants anywhere."""


def make_window(kind: WindowKind, to_at: datetime | None = None) -> Window:
    """Return the window that ends at an instant, by default now."""
    end = datetime.now(UTC) if to_at is None else to_at
    return Window(kind, end - timedelta(hours=_HOURS[kind]), end)


async def read_decision_lag(
    session: AsyncSession,
    project_id: UUID,
    window: Window,
    *,
    has_fallbacks: bool = False,
    method: LagMethod = "columns",
) -> DecisionLag:
    """Return p50 and p95 of the lag, in milliseconds, with what was left out.

    Args:
        session: Reads it.
        project_id: Whose decisions.
        window: By when they were decided.
        has_fallbacks: Count decisions whose instant is only when the row was written.
        method: ``columns``, or ``payload`` to read the content of every decision, which says the same slowly.
    """
    parameters = {
        "project_id": project_id,
        "from_at": window.from_at,
        "to_at": window.to_at,
        "has_fallbacks": has_fallbacks,
    }
    measured = _MEASURED[method]
    sums = (await session.execute(text(_SUMS.format(measured=measured)), parameters)).one()
    samples = await session.execute(
        text(_SAMPLES.format(measured=measured)), {**parameters, "limit": _SAMPLES_COUNT}
    )
    p50_ms, p95_ms = sums.percentiles if sums.percentiles else (None, None)
    is_whole = sums.columns_count == sums.rows_count
    return DecisionLag(
        window=window,
        lags_count=sums.lags_count,
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        max_ms=sums.max_ms,
        samples=tuple(LagSample(row.decision_id, row.lag_ms, row.source) for row in samples),
        query_method="columns" if is_whole else "payload_fallback",
        columns_coverage_share=sums.columns_count / sums.rows_count if sums.rows_count else None,
        negative_count=sums.negative_count,
        fallback_count=sums.fallback_count,
        has_fallbacks=has_fallbacks,
        missing_count=sums.missing_count,
    )
