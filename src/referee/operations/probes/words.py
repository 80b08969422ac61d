"""The words of probes: what is tried, what became of it, and one result as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

__all__ = ["Probe", "ProbeOutcome", "ProbeResult", "ProbeStep"]


class Probe(StrEnum):
    """What is tried."""

    trace = "trace"
    """A trace is written and read back."""
    artifact = "artifact"
    """Bytes are stored, read back and verified."""
    analysis = "analysis"
    """A tiny analysis is created, ends, and is verified."""


class ProbeOutcome(StrEnum):
    """What became of one try."""

    succeeded = "succeeded"
    failed = "failed"
    timed_out = "timed_out"
    """It was not through when its time was up, or nobody carried it out."""
    unavailable = "unavailable"
    """It needs something that this machine does not have; that is no failure."""


@dataclass(frozen=True, slots=True)
class ProbeStep:
    """One part of a probe that was begun."""

    name: str
    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One try of one probe."""

    probe_result_id: UUID
    probe: Probe
    outcome: ProbeOutcome | None
    """None while it waits or runs."""
    error: str
    """One sentence; empty when it succeeded."""
    steps: Sequence[ProbeStep]
    latency_ms: float | None
    """From the first step to the end of the last, without the wait for a worker."""
    is_scheduled: bool
    job_id: UUID | None
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def state(self) -> str:
        """The outcome, or ``queued`` or ``running``."""
        if self.outcome is not None:
            return self.outcome.value
        return "queued" if self.started_at is None else "running"
