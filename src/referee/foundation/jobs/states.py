"""A job as other rooms see it: its states, its progress, its error, its children.

::

    queued ──► running ──► succeeded
      ▲  │        │ └────► failed      its error says why
      │  │        │ └────► cancelled
      └──┼────────┘                    worker gone or stopped: the job waits again
         └───────────────► cancelled · failed

An ended job never changes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args
from uuid import UUID, uuid5

from referee.core.findings import JsonValue

__all__ = [
    "ACTIVE_STATES",
    "DEFAULT_PRIORITY",
    "ENDED_STATES",
    "JOB_STATES",
    "MAX_PRIORITY",
    "ChildJob",
    "ChildResult",
    "Job",
    "JobError",
    "JobProgress",
    "JobState",
    "Worker",
    "get_child_id",
]

JobState: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]

JOB_STATES: Final[tuple[JobState, ...]] = get_args(JobState)
ACTIVE_STATES: Final[tuple[JobState, ...]] = ("queued", "running")
ENDED_STATES: Final[tuple[JobState, ...]] = ("succeeded", "failed", "cancelled")

DEFAULT_PRIORITY: Final = 100
MAX_PRIORITY: Final = 2_147_483_647
"""Priorities are 1 … ``MAX_PRIORITY``; the lower number goes first, equal numbers in order of creation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a running job says it is."""

    message: str
    done_count: int | None = None
    total_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed."""

    code: str
    """Dotted word, such as ``jobs.timed_out``."""
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One durable unit of background work."""

    job_id: UUID
    project_id: UUID
    kind: str
    title: str
    state: JobState
    queue: str
    priority: int
    key: str | None
    """Idempotency key, unique in the project; None for children and for jobs submitted without one."""
    arguments: Mapping[str, JsonValue] = field(repr=False)
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts_count: int
    """Times a worker has begun it."""
    progress: JobProgress | None
    result: Mapping[str, JsonValue] | None = field(repr=False)
    error: JobError | None
    executor_id: str | None
    """The worker that runs it, or ran it last."""
    parent_job_id: UUID | None

    @property
    def is_ended(self) -> bool:
        """Whether the state is final."""
        return self.state in ENDED_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildJob:
    """A job to start from inside another one."""

    name: str
    """Unique among the children of one parent; the same name is the same child after a take-over."""
    kind: str
    arguments: Mapping[str, JsonValue]
    title: str
    priority: int = DEFAULT_PRIORITY
    queue: str | None = None
    """None: the queue of its kind. Never the parent's own queue, which could then wait for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildResult:
    """How a child ended."""

    name: str
    job_id: UUID
    state: JobState
    """One of ``ENDED_STATES``."""
    result: Mapping[str, JsonValue] | None
    """Only when it succeeded."""
    error: JobError | None
    """Only when it failed or was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that holds a live lease."""

    executor_id: str
    kind: str
    """``server`` or ``worker``."""
    host: str
    pid: int
    started_at: datetime
    renewed_at: datetime
    expires_at: datetime
    running_count: int
    """Jobs it is running."""


def get_child_id(parent_job_id: UUID, name: str) -> UUID:
    """Return the id that the child ``name`` of a job always has."""
    return uuid5(parent_job_id, name)
