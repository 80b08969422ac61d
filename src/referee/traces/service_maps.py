"""The map of services: who calls whom, how often, how often it failed, and how long it took.

A call is a span that another service's span is the parent of, or that has no parent. Its service is ``service.name``
of its resource; where there is none, the source of the span. Read from the latest spans of a window of time, so that
the price does not grow with the store.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["MAP_WINDOWS", "MAX_MAP_SPANS", "ServiceCalls", "ServiceMap", "read_service_map"]

MAX_MAP_SPANS: Final = 50_000
"""Spans that a map is read from, the latest ones of its window."""
MAX_SERVICES: Final = 60
MAX_EDGES: Final = 200
MAP_WINDOWS: Final[Mapping[str, timedelta]] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
"""Lengths of the window, by the word that the address has."""


@dataclass(frozen=True, slots=True)
class ServiceCalls:
    """Calls of one service, by one caller or by all of them."""

    caller: str | None
    """None: from outside, or by all."""
    service: str
    calls_count: int
    errors_count: int
    p95_ms: float | None
    """Of those that ended."""


@dataclass(frozen=True, slots=True)
class ServiceMap:
    """Services and their calls, those with most calls first."""

    services: Sequence[ServiceCalls]
    edges: Sequence[ServiceCalls]
    spans_count: int
    """That were looked at."""
    left_out_count: int
    """Services and calls between them that are not shown."""

    @property
    def is_cut(self) -> bool:
        """Whether the window has more spans than were looked at."""
        return self.spans_count >= MAX_MAP_SPANS


_READ: Final = text(
    """
    WITH named AS MATERIALIZED (
      SELECT resource_id, left(nullif(resource_json #>> '{attributes,service.name}', ''), 200) AS name
      FROM span_resources WHERE project_id = :project_id
    ), latest AS MATERIALIZED (
      SELECT span_uid, parent_uid, resource_id, source, end_ns - start_ns AS took_ns,
        error IS NOT NULL OR status = 2 AS is_failed
      FROM spans
      WHERE project_id = :project_id AND start_ns >= :from_ns AND event_type <> 'session'
      ORDER BY start_ns DESC LIMIT :most
    ), calls AS (
      SELECT coalesce(mine.name, nullif(latest.source, ''), 'unnamed') AS service, latest.took_ns, latest.is_failed,
        CASE WHEN above.span_uid IS NOT NULL
          THEN coalesce(theirs.name, nullif(above.source, ''), 'unnamed') END AS caller
      FROM latest
      LEFT JOIN named mine ON mine.resource_id = latest.resource_id
      LEFT JOIN spans above ON above.project_id = :project_id AND above.span_uid = latest.parent_uid
      LEFT JOIN named theirs ON theirs.resource_id = above.resource_id
    )
    SELECT grouping(caller) AS is_service, caller, service, count(*), count(*) FILTER (WHERE is_failed),
      percentile_cont(0.95) WITHIN GROUP (ORDER BY greatest(took_ns, 0)) FILTER (WHERE took_ns IS NOT NULL),
      (SELECT count(*) FROM latest)
    FROM calls WHERE caller IS DISTINCT FROM service
    GROUP BY GROUPING SETS ((caller, service), (service))
    ORDER BY count(*) DESC, service, caller
    """
)


async def read_service_map(session: AsyncSession, project_id: UUID, window: timedelta) -> ServiceMap:
    """Return the map of a project's services over the time before now."""
    from_ns = time.time_ns() - window // timedelta(microseconds=1) * 1_000
    given = {"project_id": project_id, "from_ns": from_ns, "most": MAX_MAP_SPANS}
    records = (await session.execute(_READ, given)).all()
    services = [_read_calls(record) for record in records if record[0]]
    edges = [_read_calls(record) for record in records if not record[0]]
    shown = services[:MAX_SERVICES]
    names = {one.service for one in shown}
    kept = [one for one in edges if one.service in names and (one.caller is None or one.caller in names)]
    left_out = len(services) - len(shown) + len(edges) - len(kept[:MAX_EDGES])
    return ServiceMap(shown, kept[:MAX_EDGES], int(records[0][6]) if records else 0, left_out)


def _read_calls(record: Any) -> ServiceCalls:
    _, caller, service, calls_count, errors_count, p95_ns, _ = record
    return ServiceCalls(
        caller, service, int(calls_count), int(errors_count), None if p95_ns is None else float(p95_ns) / 1e6
    )
