"""The JSON shapes of probes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from referee.operations.probes.queries import LatencyPoint, ProbeSummary
from referee.operations.probes.room import ProbesRoom
from referee.operations.probes.words import Probe, ProbeOutcome, ProbeResult
from referee.operations.windows import Window, WindowName

__all__ = ["ProbeRequestModel", "ProbeResultModel", "ProbeSummariesModel"]


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class ProbeRequestModel(_Model):
    """Which probe is wanted now."""

    probe: Probe


class ProbeStepModel(_Model):
    """One part of a probe."""

    name: str
    latency_ms: float


class ProbeResultModel(_Model):
    """One try of one probe."""

    probe_result_id: UUID
    probe: Probe
    state: Literal["queued", "running", "succeeded", "failed", "timed_out", "unavailable"]
    outcome: ProbeOutcome | None = Field(description="Null while it waits or runs.")
    error: str = Field(description="One sentence; empty when it succeeded.")
    steps: list[ProbeStepModel]
    latency_ms: float | None = Field(description="Of the whole, without the wait for a worker.")
    is_scheduled: bool
    job_id: UUID | None
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, result: ProbeResult) -> ProbeResultModel:
        """Return the shape of a result."""
        return cls.model_validate(result)


class ProbeLatencyModel(_Model):
    """Latencies of one part of the window."""

    at: datetime = Field(description="Where the part begins.")
    count: int = Field(description="Probes that succeeded.")
    p50_ms: float
    max_ms: float


class ProbeSummaryModel(_Model):
    """What became of one probe in the window."""

    probe: Probe
    interval_s: int = Field(description="Seconds between two scheduled ones; 0: it is switched off.")
    timeout_s: float
    succeeded_count: int
    failed_count: int = Field(description="Failed or timed out.")
    unavailable_count: int = Field(description="It needs what this machine does not have.")
    success_rate: float | None = Field(description="Share, 0 to 1; null without one that was judged.")
    p50_ms: float | None
    p95_ms: float | None
    last: ProbeResultModel | None
    last_failure: ProbeResultModel | None
    latencies: list[ProbeLatencyModel] = Field(
        description="By part of the window; parts without one are left out."
    )


class ProbeSummariesModel(_Model):
    """What became of all probes in a window."""

    window: WindowName
    from_at: datetime
    to_at: datetime
    bucket_s: int = Field(description="Length of a part of the window.")
    items: list[ProbeSummaryModel]

    @classmethod
    def build(
        cls,
        room: ProbesRoom,
        window: Window,
        summaries: Sequence[ProbeSummary],
        latencies: Sequence[LatencyPoint],
    ) -> ProbeSummariesModel:
        """Return the shape of summaries."""
        return cls(
            window=window.name,
            from_at=window.from_at,
            to_at=window.to_at,
            bucket_s=window.bucket_s,
            items=[
                ProbeSummaryModel(
                    probe=one.probe,
                    interval_s=room.get_interval_s(one.probe),
                    timeout_s=room.get_timeout_s(one.probe),
                    succeeded_count=one.succeeded_count,
                    failed_count=one.failed_count,
                    unavailable_count=one.unavailable_count,
                    success_rate=one.success_rate,
                    p50_ms=one.p50_ms,
                    p95_ms=one.p95_ms,
                    last=None if one.last is None else ProbeResultModel.of(one.last),
                    last_failure=None if one.last_failure is None else ProbeResultModel.of(one.last_failure),
                    latencies=[
                        ProbeLatencyModel(
                            at=point.at, count=point.count, p50_ms=point.p50_ms, max_ms=point.max_ms
                        )
                        for point in latencies
                        if point.probe is one.probe
                    ],
                )
                for one in summaries
            ],
        )
