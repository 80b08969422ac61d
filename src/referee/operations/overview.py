"""Everything the overview of operations shows, each number from one query that page, JSON and command share.

Numbers of analyses are those of one project; creation latency, artifact writes and workers are of the whole
installation, by what its processes wrote down of their own metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from referee.alerts.operating import count_observations, list_firing, sum_samples
from referee.alerts.views import Rule
from referee.analysis.operating import (
    DurationPart,
    HandOverCounts,
    RepeatCounts,
    count_hand_overs,
    count_repeats,
    read_durations,
)
from referee.core.vocabulary import Service
from referee.foundation.jobs import Worker, list_workers
from referee.foundation.statistics import ChangePoint, Interval, compute_share_interval, find_change_points
from referee.foundation.store import Database
from referee.operations.system import QueueLoad, read_queues
from referee.operations.windows import CHANGE_LEVEL, Window
from referee.pipelines.success_rates import read_service_rates

__all__ = [
    "ArtifactWrites",
    "CreationLatency",
    "Overview",
    "ServiceSuccess",
    "read_overview",
]

FIRING_SHOWN_COUNT: Final = 50
_SERVICES: Final = (Service.static, Service.dynamic, Service.performance, Service.ai)
_CREATION: Final = "referee_analysis_creation_seconds"
_WRITES: Final = "referee_store_artifact_writes_total"
_FAILURES: Final = "referee_store_artifact_failures_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSuccess:
    """How often a service did what analyses asked of it."""

    service: Service
    succeeded_count: int
    total_count: int
    interval: Interval | None
    """Wilson, 95 %; None without a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreationLatency:
    """How long creating analyses took, as a histogram."""

    buckets: Mapping[float, int]
    """Upper bound in seconds → how many."""

    @property
    def count(self) -> int:
        """How many were created."""
        return sum(self.buckets.values())

    def find_quantile_s(self, share: float) -> float | None:
        """Return the upper bound of the bucket that holds a quantile; None without any."""
        below = 0
        for bound, count in sorted(self.buckets.items()):
            below += count
            if below >= share * self.count:
                return bound
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactWrites:
    """Writes of artifacts, and operations on them that failed."""

    parts: Mapping[datetime, float]
    """Where a part of the window begins → writes; parts without one are left out."""
    failures: Mapping[str, int]
    """Reason → count."""

    @property
    def count(self) -> int:
        """Writes in the window."""
        return round(sum(self.parts.values()))

    @property
    def failures_count(self) -> int:
        """Failures in the window."""
        return sum(self.failures.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """How operations go, in one window."""

    window: Window
    services: Sequence[ServiceSuccess]
    durations: Sequence[DurationPart]
    duration_changes: Sequence[ChangePoint]
    """In the medians of ``durations``; an index counts the parts that have one."""
    creation: CreationLatency
    repeats: RepeatCounts
    hand_overs: HandOverCounts
    artifacts: ArtifactWrites
    firing: Sequence[Rule]
    """Now; the worst first, at most ``FIRING_SHOWN_COUNT``."""
    workers: Sequence[Worker]
    """Now, with a live lease."""
    queues: Sequence[QueueLoad]
    """Now."""


async def read_overview(database: Database, project_id: UUID, window: Window) -> Overview:
    """Return how operations go."""
    from_at, to_at, bucket_s = window.from_at, window.to_at, window.bucket_s
    async with database.reading() as session:
        rates = await read_service_rates(session, project_id, since=from_at)
        durations = await read_durations(session, project_id, from_at=from_at, to_at=to_at, bucket_s=bucket_s)
        buckets = await count_observations(session, _CREATION, from_at=from_at, to_at=to_at)
        samples = await sum_samples(
            session, (_WRITES, _FAILURES), from_at=from_at, to_at=to_at, bucket_s=bucket_s
        )
        repeats = await count_repeats(session, project_id, from_at=from_at, to_at=to_at)
        hand_overs = await count_hand_overs(session, project_id, from_at=from_at, to_at=to_at)
        firing = await list_firing(session, project_id, limit=FIRING_SHOWN_COUNT)
        workers = await list_workers(session)
        queues = await read_queues(session)
    writes: dict[datetime, float] = {}
    failures: dict[str, int] = {}
    for sample in samples:
        if sample.name == _WRITES:
            writes[sample.at] = writes.get(sample.at, 0.0) + sample.value
        else:
            reason = sample.labels.partition("reason=")[2] or "unknown"
            failures[reason] = failures.get(reason, 0) + round(sample.value)
    services = []
    for service in _SERVICES:
        counted = rates.get(service.value)
        good, total = (counted.succeeded_count, counted.total_count) if counted is not None else (0, 0)
        interval = compute_share_interval(good, total) if total else None
        services.append(
            ServiceSuccess(service=service, succeeded_count=good, total_count=total, interval=interval)
        )
    return Overview(
        window=window,
        services=services,
        durations=durations,
        duration_changes=find_change_points([part.p50_s for part in durations], level=CHANGE_LEVEL),
        creation=CreationLatency(buckets=buckets),
        repeats=repeats,
        hand_overs=hand_overs,
        artifacts=ArtifactWrites(parts=writes, failures=failures),
        firing=firing,
        workers=workers,
        queues=queues,
    )
