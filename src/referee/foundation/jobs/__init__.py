"""Durable background jobs. This is the door; ``JobEngine`` is what a process has one of.

A name is imported when it is first asked for: the command line mounts this
room's commands, and its help must not wait for the job library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.foundation.jobs.context import JobContext
    from referee.foundation.jobs.engine import JobEngine
    from referee.foundation.jobs.identity import (
        ProcessIdentity,
        is_provably_gone,
        read_own_identity,
        read_process_start,
    )
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
    from referee.foundation.jobs.upkeep import count_old_jobs, delete_ended_jobs, reconcile

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
    "ProcessIdentity",
    "Worker",
    "WorkerLeaseRow",
    "count_jobs",
    "count_old_jobs",
    "delete_ended_jobs",
    "get_child_id",
    "get_job",
    "get_queue_ages_s",
    "is_provably_gone",
    "list_jobs",
    "list_workers",
    "queue_age_s",
    "read_own_identity",
    "read_process_start",
    "reconcile",
    "refresh_metrics",
    "waiting_count",
]

__getattr__ = open_door(
    __name__,
    {
        "context": ("JobContext",),
        "engine": ("JobEngine",),
        "identity": ("ProcessIdentity", "is_provably_gone", "read_own_identity", "read_process_start"),
        "metrics": ("refresh_metrics",),
        "queries": (
            "count_jobs",
            "get_job",
            "get_queue_ages_s",
            "list_jobs",
            "list_workers",
            "queue_age_s",
            "waiting_count",
        ),
        "states": (
            "ACTIVE_STATES",
            "ChildJob",
            "ChildResult",
            "DEFAULT_PRIORITY",
            "ENDED_STATES",
            "JOB_STATES",
            "Job",
            "JobError",
            "JobProgress",
            "JobState",
            "MAX_PRIORITY",
            "Worker",
            "get_child_id",
        ),
        "tables": (
            "JobRow",
            "WorkerLeaseRow",
        ),
        "upkeep": (
            "count_old_jobs",
            "delete_ended_jobs",
            "reconcile",
        ),
    },
)
