"""The JSON shapes of jobs, the system and integrity."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee import __version__
from referee.foundation.jobs import Job, JobState
from referee.operations.health import Check
from referee.operations.system import SystemReport
from referee.operations.verification import Verification

__all__ = [
    "CheckModel",
    "HealthModel",
    "IntegrityModel",
    "JobDetailModel",
    "JobModel",
    "QueueLoadModel",
    "SystemModel",
    "VerificationModel",
]

Status = Literal["ok", "warn", "fail"]


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class CheckModel(_Model):
    """One thing that was looked at."""

    status: Status
    detail: str


class HealthModel(_Model):
    """How Referee is."""

    status: Status
    version: str
    checks: dict[str, CheckModel]

    @classmethod
    def of(cls, checks: tuple[Check, ...]) -> HealthModel:
        """Return the shape of checks; the worst of them is the whole."""
        statuses = {check.status for check in checks}
        return cls(
            status="fail" if "fail" in statuses else "warn" if "warn" in statuses else "ok",
            version=__version__,
            checks={check.name: CheckModel(status=check.status, detail=check.detail) for check in checks},
        )


class JobProgressModel(_Model):
    """How far a job says it is."""

    message: str
    done_count: int | None
    total_count: int | None


class JobErrorModel(_Model):
    """Why a job failed."""

    code: str
    message: str
    hint: str


class JobModel(_Model):
    """One durable unit of background work."""

    job_id: UUID
    kind: str
    title: str
    state: JobState
    queue: str
    priority: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts_count: int = Field(description="Times a worker has begun it.")
    executor_id: str | None = Field(description="The worker that runs it, or ran it last.")
    progress: JobProgressModel | None
    error: JobErrorModel | None
    parent_job_id: UUID | None

    @classmethod
    def of(cls, job: Job) -> JobModel:
        """Return the shape of a job."""
        return cls.model_validate(job)


class JobDetailModel(JobModel):
    """A job with what it was given, what it gave, and its children."""

    key: str | None
    arguments: dict[str, Any]
    result: dict[str, Any] | None
    children_count: int
    children: list[JobModel] = Field(description="The newest hundred.")

    @classmethod
    def build(cls, job: Job, children: tuple[Job, ...], children_count: int) -> JobDetailModel:
        """Return the shape of a job's page."""
        return cls(
            **JobModel.of(job).model_dump(),
            key=job.key,
            arguments=dict(job.arguments),
            result=None if job.result is None else dict(job.result),
            children_count=children_count,
            children=[JobModel.of(child) for child in children],
        )


class WorkerModel(_Model):
    """A process that holds a live lease."""

    executor_id: str
    kind: str
    host: str
    pid: int
    started_at: datetime
    renewed_at: datetime
    expires_at: datetime
    running_count: int


class QueueLoadModel(_Model):
    """What is in a queue."""

    name: str
    waiting_count: int
    running_count: int
    oldest_waiting_s: float


class LatencyModel(_Model):
    """How long something took, from a histogram."""

    count: int
    mean_s: float | None
    p95_s: float | None = Field(description="Upper bound of the bucket with the 95th percentile.")


class IsolationModel(_Model):
    """How tools are kept apart from this machine."""

    method: str
    has_own_network: bool
    has_read_only_system: bool
    has_own_processes: bool
    limits: list[str]
    reason: str


class SystemModel(_Model):
    """How the system is. Counters begin with this server process."""

    status: Status
    checks: dict[str, CheckModel]
    uptime_s: float
    memory_bytes: int
    disk_total_bytes: int
    disk_free_bytes: int
    database_bytes: int
    isolation: IsolationModel
    workers: list[WorkerModel]
    queues: list[QueueLoadModel] = Field(description="Queues with jobs that wait or run.")
    tool_runs: dict[str, dict[str, int]] = Field(description="Tool → outcome → runs.")
    artifact_writes_count: int
    artifact_written_bytes: int
    artifact_failures: dict[str, int] = Field(description="Reason → failures.")
    analysis_creation: LatencyModel
    job_creation: LatencyModel
    versions: dict[str, str]

    @classmethod
    def of(cls, report: SystemReport) -> SystemModel:
        """Return the shape of a report."""
        health = HealthModel.of(report.checks)
        fields = {
            name: getattr(report, name) for name in cls.model_fields if name not in ("status", "checks")
        }
        return cls.model_validate({**fields, "status": health.status, "checks": health.checks})


class IntegrityProblemModel(_Model):
    """Something stored is not what was recorded."""

    code: str
    subject: str
    message: str


class VerificationModel(_Model):
    """What a verification said."""

    job_id: UUID
    finished_at: datetime
    problems_count: int
    problems: list[IntegrityProblemModel] = Field(description="The first hundred; the report has all.")
    checked_counts: dict[str, int]
    report_sha256: str
    repairs_count: int = Field(description="Things that were mended before, where that was asked for.")
    repairs: list[IntegrityProblemModel] = Field(description="The first hundred of them: what was done.")


class IntegrityModel(_Model):
    """Whether a verification is under way, and what the last one said."""

    active: JobModel | None
    last: VerificationModel | None

    @classmethod
    def build(cls, active: Job | None, last: Verification | None) -> IntegrityModel:
        """Return the shape of the integrity page."""
        return cls(
            active=None if active is None else JobModel.of(active),
            last=None if last is None else VerificationModel.model_validate(last),
        )
