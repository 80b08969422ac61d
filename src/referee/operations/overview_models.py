"""The JSON shape of the overview of operations."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.operations.models import QueueLoadModel
from referee.operations.overview import Overview
from referee.operations.windows import WindowName

__all__ = ["OperationsModel"]


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class ServiceSuccessModel(_Model):
    """How often a service did what analyses asked of it."""

    service: str
    succeeded_count: int
    total_count: int
    success_rate: float | None = Field(description="Share, 0 to 1; null without a case.")
    low: float | None = Field(description="Lower bound of its 95 % Wilson interval.")
    high: float | None = Field(description="Upper bound.")


class DurationPartModel(_Model):
    """The analyses that ended in one part of the window."""

    at: datetime = Field(description="Where the part begins.")
    count: int
    failed_count: int
    p50_s: float
    p95_s: float


class DurationChangeModel(_Model):
    """Where the median duration changed its level."""

    at: datetime = Field(description="Beginning of the first part after the change.")
    before_median_s: float
    after_median_s: float
    p_value: float = Field(
        description="Chance of a change as clear as this among random orders of the medians."
    )


class LatencyBucketModel(_Model):
    """One bucket of a histogram."""

    at_most_s: float = Field(description="Upper bound; the last one stands for everything beyond its half.")
    count: int


class CreationLatencyModel(_Model):
    """How long creating analyses took, in all processes of the installation."""

    count: int
    p50_s: float | None = Field(
        description="Upper bound of the bucket that holds the median; null without any."
    )
    p95_s: float | None
    buckets: list[LatencyBucketModel]


class RepeatsModel(_Model):
    """What was asked for or done twice."""

    analyses_count: int
    doubled_count: int = Field(description="Asked for within a minute after their like.")
    attempts_count: int = Field(description="Attempts at tool runs that ended.")
    refused_attempts_count: int = Field(description="Whose result came second, and was refused.")


class HandOversModel(_Model):
    """Results that remote analyzers handed over."""

    ended_count: int
    refused_count: int
    superseded_count: int


class ArtifactPartModel(_Model):
    """Writes in one part of the window."""

    at: datetime
    writes_count: int


class ArtifactWritesModel(_Model):
    """Artifacts, in all processes of the installation."""

    writes_count: int
    failures_count: int
    failures: dict[str, int] = Field(description="Reason → operations that failed.")
    parts: list[ArtifactPartModel]


class FiringModel(_Model):
    """A rule that fires now."""

    rule_id: UUID
    name: str
    severity: str
    changed_at: datetime


class WorkerLeaseModel(_Model):
    """A worker with a live lease."""

    executor_id: str
    kind: str
    host: str
    pid: int
    running_count: int
    started_at: datetime
    renewed_at: datetime
    expires_at: datetime


class OperationsModel(_Model):
    """How operations go, in one window."""

    window: WindowName
    from_at: datetime
    to_at: datetime
    bucket_s: int = Field(description="Length of a part of the window.")
    services: list[ServiceSuccessModel]
    durations: list[DurationPartModel] = Field(description="Parts in which none ended are left out.")
    duration_changes: list[DurationChangeModel]
    creation: CreationLatencyModel
    repeats: RepeatsModel
    hand_overs: HandOversModel
    artifacts: ArtifactWritesModel
    alerts: list[FiringModel] = Field(description="Rules that fire now, the worst first, at most 50.")
    workers: list[WorkerLeaseModel]
    queues: list[QueueLoadModel]

    @classmethod
    def of(cls, overview: Overview) -> OperationsModel:
        """Return the shape of an overview."""
        window, creation, artifacts = overview.window, overview.creation, overview.artifacts
        return cls(
            window=window.name,
            from_at=window.from_at,
            to_at=window.to_at,
            bucket_s=window.bucket_s,
            services=[
                ServiceSuccessModel(
                    service=one.service.value,
                    succeeded_count=one.succeeded_count,
                    total_count=one.total_count,
                    success_rate=None if one.interval is None else one.interval.point,
                    low=None if one.interval is None else one.interval.low,
                    high=None if one.interval is None else one.interval.high,
                )
                for one in overview.services
            ],
            durations=[DurationPartModel.model_validate(part) for part in overview.durations],
            duration_changes=[
                DurationChangeModel(
                    at=overview.durations[change.index].at,
                    before_median_s=change.before_median,
                    after_median_s=change.after_median,
                    p_value=change.p_value,
                )
                for change in overview.duration_changes
            ],
            creation=CreationLatencyModel(
                count=creation.count,
                p50_s=creation.find_quantile_s(0.5),
                p95_s=creation.find_quantile_s(0.95),
                buckets=[
                    LatencyBucketModel(at_most_s=bound, count=count)
                    for bound, count in sorted(creation.buckets.items())
                ],
            ),
            repeats=RepeatsModel.model_validate(overview.repeats),
            hand_overs=HandOversModel.model_validate(overview.hand_overs),
            artifacts=ArtifactWritesModel(
                writes_count=artifacts.count,
                failures_count=artifacts.failures_count,
                failures=dict(artifacts.failures),
                parts=[
                    ArtifactPartModel(at=at, writes_count=round(count))
                    for at, count in sorted(artifacts.parts.items())
                ],
            ),
            alerts=[
                FiringModel(
                    rule_id=rule.rule_id,
                    name=rule.draft.name,
                    severity=rule.draft.severity.value,
                    changed_at=rule.changed_at,
                )
                for rule in overview.firing
            ],
            workers=[WorkerLeaseModel.model_validate(worker) for worker in overview.workers],
            queues=[QueueLoadModel.model_validate(queue) for queue in overview.queues],
        )
