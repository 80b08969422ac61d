"""What the room's reads return to pages, JSON and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from referee.core.findings import JsonValue
from referee.traces.events import Event

__all__ = ["STATUS_WORDS", "Session", "SpanDetail", "Trace", "TraceSums", "read_instant"]

STATUS_WORDS: Final = ("unset", "ok", "error")
"""By OpenTelemetry's number."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_NS: Final = 253_402_300_799 * 1_000_000_000
"""The last second of the year 9999, beyond which a calendar has no words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session with what its spans add up to."""

    session_uid: UUID
    session_id: str
    name: str
    source: str
    user_id: str | None
    start_ns: int
    end_ns: int | None
    events_count: int
    """Without the session's own event."""
    model_events_count: int
    errors_count: int
    feedback_count: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_usd: float

    @property
    def started_at(self) -> datetime:
        """When its first span began."""
        return read_instant(self.start_ns)

    @property
    def duration_ms(self) -> float | None:
        """From its first start to its last end; None while nothing has ended."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e6


@dataclass(frozen=True, slots=True)
class TraceSums:
    """What the spans of a trace add up to. All None in a trace of more spans than a list reads."""

    spans_count: int | None = None
    errors_count: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A span or event without a parent, with the sums of its trace."""

    span_uid: UUID
    trace_id: str | None
    """None for an event that came without a span."""
    span_id: str | None
    event_id: str
    session_uid: UUID
    session_id: str
    name: str
    event_type: str
    source: str
    user_id: str | None
    start_ns: int
    end_ns: int | None
    status: int
    error: str | None
    sums: TraceSums

    @property
    def started_at(self) -> datetime:
        """When its root began."""
        return read_instant(self.start_ns)

    @property
    def duration_ms(self) -> float | None:
        """Of its root; None when that has not ended."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e6

    @property
    def is_failed(self) -> bool:
        """Whether the root itself has an error."""
        return self.status == 2 or self.error is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanDetail:
    """All there is of one span or event, besides its body as it came."""

    event: Event
    kind: int
    """OpenTelemetry's, 0 to 5."""
    start_ns: int
    end_ns: int | None
    span_events: list[JsonValue]
    links: list[JsonValue]
    resource: dict[str, JsonValue]
    scope: dict[str, JsonValue]
    prompt_tokens: int | None
    completion_tokens: int | None
    provider: str | None
    is_counted: bool
    batch_id: UUID | None
    batch_position: int | None
    received_at: datetime
    mapping_version: int


def read_instant(ns: int) -> datetime:
    """Return nanoseconds since 1970 as an instant; a clock beyond the calendar is set to its end."""
    return _EPOCH + timedelta(microseconds=max(0, min(ns, _LATEST_NS)) // 1_000)
