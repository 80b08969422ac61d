"""Durable background jobs. This is the door; ``JobEngine`` is what a process has one of."""

from __future__ import annotations

from referee.foundation.jobs.context import JobContext
from referee.foundation.jobs.engine import JobEngine
from referee.foundation.jobs.metrics import refresh_metrics
from referee.foundation.jobs.queries import (
    count_jobs,
    get_job,
    get_queue_ages_s,
    list_jobs,
    list_workers,
    queue_age_s,
    waiting_count,
)
from referee.foundation.jobs.states import (
    ACTIVE_STATES,
    DEFAULT_PRIORITY,
    ENDED_STATES,
    JOB_STATES,
    MAX_PRIORITY,
    ChildJob,
    ChildResult,
    Job,
    JobError,
    JobProgress,
    JobState,
    Worker,
    get_child_id,
)
from referee.foundation.jobs.tables import JobRow, WorkerLeaseRow
from referee.foundation.jobs.upkeep import delete_ended_jobs, reconcile

__all__ = [
    "ACTIVE_STATES",
    "DEFAULT_PRIORITY",
    "ENDED_STATES",
    "JOB_STATES",
    "MAX_PRIORITY",
    "ChildJob",
    "ChildResult",
    "Job",
    "JobContext",
    "JobEngine",
    "JobError",
    "JobProgress",
    "JobRow",
    "JobState",
    "Worker",
    "WorkerLeaseRow",
    "count_jobs",
    "delete_ended_jobs",
    "get_child_id",
    "get_job",
    "get_queue_ages_s",
    "list_jobs",
    "list_workers",
    "queue_age_s",
    "reconcile",
    "refresh_metrics",
    "waiting_count",
]
