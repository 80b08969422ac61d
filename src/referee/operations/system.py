"""The state of the running system as numbers: what the System page and its JSON show.

Counters are those of ``/-/metrics``: they belong to this server process and
begin with it. What the database knows (workers, queues, sizes) holds for all.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import psutil
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from referee import __version__
from referee.foundation.jobs import ACTIVE_STATES, JobRow, Worker, get_queue_ages_s, list_workers
from referee.foundation.metrics import REGISTRY
from referee.foundation.sandbox import Isolation, detect_isolation
from referee.foundation.settings import Settings
from referee.foundation.store import Database
from referee.operations.health import Check, check_health, check_readiness

__all__ = ["Latency", "QueueLoad", "SystemReport", "read_queues", "read_system"]

_LIBRARIES: Final = ("dbos", "fastapi", "sqlalchemy", "pydantic")
"""Whose versions matter when something behaves in another way than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLoad:
    """What is in a queue."""

    name: str
    waiting_count: int
    running_count: int
    oldest_waiting_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long something took, from a histogram."""

    count: int
    mean_s: float | None
    p95_s: float | None
    """Upper bound of the bucket that holds the 95th percentile; None when it is beyond all, or nothing was counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemReport:
    """How the system is."""

    checks: tuple[Check, ...]
    uptime_s: float
    memory_bytes: int
    disk_total_bytes: int
    disk_free_bytes: int
    database_bytes: int
    isolation: Isolation
    workers: tuple[Worker, ...]
    queues: tuple[QueueLoad, ...]
    tool_runs: Mapping[str, Mapping[str, int]]
    """Tool → outcome → runs since the server started."""
    artifact_writes_count: int
    artifact_written_bytes: int
    artifact_failures: Mapping[str, int]
    """Reason → failures since the server started."""
    analysis_creation: Latency
    job_creation: Latency
    versions: Mapping[str, str]

    @property
    def status(self) -> str:
        """The worst of the checks: ``ok``, ``warn`` or ``fail``."""
        statuses = {check.status for check in self.checks}
        return "fail" if "fail" in statuses else "warn" if "warn" in statuses else "ok"


async def read_system(settings: Settings, database: Database) -> SystemReport:
    """Return how the system is now."""
    isolation = await asyncio.to_thread(detect_isolation)
    checks = (*await check_health(settings, database), *await check_readiness(database))
    async with database.reading() as session:
        workers = tuple(await list_workers(session))
        queues = await read_queues(session)
        database_bytes = await session.scalar(text("SELECT pg_database_size(current_database())")) or 0
        postgres = await session.scalar(text("SHOW server_version")) or ""
    disk = shutil.disk_usage(settings.home)
    process = psutil.Process()
    return SystemReport(
        checks=checks,
        uptime_s=max(0.0, time.time() - process.create_time()),
        memory_bytes=process.memory_info().rss,
        disk_total_bytes=disk.total,
        disk_free_bytes=disk.free,
        database_bytes=database_bytes,
        isolation=isolation,
        workers=workers,
        queues=queues,
        tool_runs=_read_tool_runs(),
        artifact_writes_count=_total("referee_store_artifact_writes_total"),
        artifact_written_bytes=_total("referee_store_artifact_written_bytes_total"),
        artifact_failures=_by_label("referee_store_artifact_failures_total", "reason"),
        analysis_creation=_read_latency("referee_analysis_creation_seconds"),
        job_creation=_read_latency("referee_jobs_creation_seconds"),
        versions=_read_versions(str(postgres)),
    )


async def read_queues(session: AsyncSession) -> tuple[QueueLoad, ...]:
    """Return what waits and runs in each queue that has anything."""
    rows = await session.execute(
        select(JobRow.queue, JobRow.state, func.count())
        .where(JobRow.state.in_(ACTIVE_STATES))
        .group_by(JobRow.queue, JobRow.state)
    )
    counts: dict[str, dict[str, int]] = {}
    for queue, state, count in rows:
        counts.setdefault(queue, {})[state] = count
    ages_s = await get_queue_ages_s(session)
    return tuple(
        QueueLoad(
            name=queue,
            waiting_count=states.get("queued", 0),
            running_count=states.get("running", 0),
            oldest_waiting_s=ages_s.get(queue, 0.0),
        )
        for queue, states in sorted(counts.items())
    )


def _read_versions(postgres: str) -> dict[str, str]:
    own = {
        "Referee": __version__,
        "Python": platform.python_version(),
        "PostgreSQL": postgres,
        "System": f"{platform.system()} {platform.release()}, {os.cpu_count()} cores",
    }
    return own | {name: version(name) for name in _LIBRARIES}


def _samples(name: str) -> list[tuple[Mapping[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == name
    ]


def _total(name: str) -> int:
    return round(sum(value for _, value in _samples(name)))


def _by_label(name: str, label: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for labels, value in _samples(name):
        counts[labels[label]] = counts.get(labels[label], 0) + round(value)
    return counts


def _read_tool_runs() -> dict[str, dict[str, int]]:
    runs: dict[str, dict[str, int]] = {}
    for labels, value in sorted(_samples("referee_analysis_tool_runs_total"), key=lambda one: one[0]["tool"]):
        runs.setdefault(labels["tool"], {})[labels["outcome"]] = round(value)
    return runs


def _read_latency(name: str) -> Latency:
    count = _total(f"{name}_count")
    if count == 0:
        return Latency(count=0, mean_s=None, p95_s=None)
    total_s = sum(value for _, value in _samples(f"{name}_sum"))
    bounds: dict[float, float] = {}
    for labels, value in _samples(f"{name}_bucket"):
        bound = float(labels["le"])
        bounds[bound] = bounds.get(bound, 0.0) + value
    p95_s = next((bound for bound, below in sorted(bounds.items()) if below >= 0.95 * count), None)
    is_beyond = p95_s is None or p95_s == float("inf")
    return Latency(count=count, mean_s=total_s / count, p95_s=None if is_beyond else p95_s)
