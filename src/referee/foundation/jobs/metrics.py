"""Numbers of the jobs room, for ``/-/metrics``."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from referee.foundation.jobs.queries import get_queue_ages_s, list_workers
from referee.foundation.jobs.states import ACTIVE_STATES
from referee.foundation.jobs.tables import JobRow
from referee.foundation.metrics import REGISTRY

__all__ = [
    "CREATION_SECONDS",
    "ENDED",
    "HOOK_FAILURES",
    "LEASES_LOST",
    "TAKEOVERS",
    "WAIT_SECONDS",
    "refresh_metrics",
]

CREATION_SECONDS = Histogram(
    "referee_jobs_creation_seconds",
    "Time to insert and enqueue one job, without the caller's commit.",
    registry=REGISTRY,
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
WAIT_SECONDS = Histogram(
    "referee_jobs_wait_seconds",
    "Time from waiting in a queue to the start by a worker.",
    ["queue"],
    registry=REGISTRY,
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800),
)
ENDED = Counter(
    "referee_jobs_ended_total", "Jobs that ended, by kind and state.", ["kind", "state"], registry=REGISTRY
)
HOOK_FAILURES = Counter(
    "referee_jobs_end_hook_failures_total",
    "Rooms that could not take note of a job's end.",
    ["kind"],
    registry=REGISTRY,
)
LEASES_LOST = Counter(
    "referee_jobs_leases_lost_total",
    "Times this worker lost its own lease and ended its steps.",
    registry=REGISTRY,
)
TAKEOVERS = Counter(
    "referee_jobs_takeovers_total",
    "Jobs that this worker took from a worker without a lease.",
    registry=REGISTRY,
)
_ACTIVE = Gauge("referee_jobs_active_count", "Jobs that wait or run.", ["kind", "state"], registry=REGISTRY)
_QUEUE_AGE = Gauge(
    "referee_jobs_queue_age_seconds",
    "How long the oldest waiting job has waited.",
    ["queue"],
    registry=REGISTRY,
)
_WORKERS = Gauge("referee_jobs_workers_count", "Workers with a live lease.", ["kind"], registry=REGISTRY)


async def refresh_metrics(session: AsyncSession) -> None:
    """Set the gauges to what the database says now. Called before the page of metrics is rendered."""
    counts = await session.execute(
        select(JobRow.kind, JobRow.state, func.count())
        .where(JobRow.state.in_(ACTIVE_STATES))
        .group_by(JobRow.kind, JobRow.state)
    )
    _ACTIVE.clear()
    for kind, state, count in counts:
        _ACTIVE.labels(kind=kind, state=state).set(count)
    _QUEUE_AGE.clear()
    for queue, age_s in (await get_queue_ages_s(session)).items():
        _QUEUE_AGE.labels(queue=queue).set(age_s)
    _WORKERS.clear()
    for worker in await list_workers(session):
        _WORKERS.labels(kind=worker.kind).inc()
