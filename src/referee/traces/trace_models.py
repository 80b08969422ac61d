"""Lists of sessions, traces and spans as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, Field, JsonValue

from referee.traces.critical_paths import CriticalPath, PathStep
from referee.traces.events import render_event
from referee.traces.models import EventModel
from referee.traces.views import STATUS_WORDS, Session, SpanDetail, Trace

__all__ = ["CriticalPathModel", "RawSpanModel", "SessionSummary", "SpanModel", "TraceModel"]


MAX_PATH_STEPS: Final = 1_000
MAX_PATH_SEGMENTS: Final = 1_000


class SessionSummary(BaseModel):
    """A session with what its events add up to."""

    session_id: str
    name: str
    source: str
    user_id: str | None
    started_at: datetime
    duration_ms: float | None = Field(description="From the first start to the last end.")
    events_count: int = Field(description="Without the session's own event.")
    model_events_count: int
    errors_count: int
    feedback_count: int = Field(description="Events that carry feedback.")
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_usd: float

    @classmethod
    def of(cls, session: Session) -> SessionSummary:
        """Return a session as JSON."""
        return cls(
            session_id=session.session_id,
            name=session.name,
            source=session.source,
            user_id=session.user_id,
            started_at=session.started_at,
            duration_ms=session.duration_ms,
            events_count=session.events_count,
            model_events_count=session.model_events_count,
            errors_count=session.errors_count,
            feedback_count=session.feedback_count,
            prompt_tokens=session.prompt_tokens,
            completion_tokens=session.completion_tokens,
            total_tokens=session.total_tokens,
            cost_usd=session.cost_usd,
        )


class TraceModel(BaseModel):
    """The root of a trace, with what its spans add up to."""

    trace_id: str | None = Field(description="Null for an event that came without a span.")
    span_id: str | None
    event_id: str = Field(description="Of the root.")
    session_id: str
    name: str
    event_type: str
    source: str
    user_id: str | None
    started_at: datetime
    duration_ms: float | None = Field(description="Of the root.")
    status: Literal["unset", "ok", "error"]
    error: str | None
    spans_count: int | None = Field(description="Null when there are more than a list adds up.")
    errors_count: int | None
    total_tokens: int | None = Field(description="Of spans without others below them that have tokens.")
    cost_usd: float | None
    models: list[str]

    @classmethod
    def of(cls, trace: Trace) -> TraceModel:
        """Return a trace as JSON."""
        return cls(
            trace_id=trace.trace_id,
            span_id=trace.span_id,
            event_id=trace.event_id,
            session_id=trace.session_id,
            name=trace.name,
            event_type=trace.event_type,
            source=trace.source,
            user_id=trace.user_id,
            started_at=trace.started_at,
            duration_ms=trace.duration_ms,
            status="error" if trace.is_failed else _word_status(trace.status),
            error=trace.error,
            spans_count=trace.sums.spans_count,
            errors_count=trace.sums.errors_count,
            total_tokens=trace.sums.total_tokens,
            cost_usd=trace.sums.cost_usd,
            models=list(trace.sums.models),
        )


class SpanModel(BaseModel):
    """One span: its event, and what OpenTelemetry says beyond it."""

    event: EventModel
    span_id: str | None
    status: Literal["unset", "ok", "error"]
    kind: int = Field(description="OpenTelemetry's, 0 to 5.", ge=0, le=5)
    start_time_unix_nano: str
    end_time_unix_nano: str | None
    model: str | None
    provider: str | None
    user_id: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cost_usd: float | None
    is_counted: bool = Field(description="Whether its tokens and cost count in sums.")
    span_events: list[JsonValue]
    links: list[JsonValue]
    resource: dict[str, JsonValue]
    scope: dict[str, JsonValue]
    received_at: datetime
    mapping_version: int

    @classmethod
    def of(cls, detail: SpanDetail) -> SpanModel:
        """Return a span as JSON."""
        event = detail.event
        return cls(
            event=EventModel.model_validate(render_event(event)),
            span_id=event.span_id,
            status=_word_status(event.status),
            kind=detail.kind,
            start_time_unix_nano=str(detail.start_ns),
            end_time_unix_nano=None if detail.end_ns is None else str(detail.end_ns),
            model=event.model,
            provider=detail.provider,
            user_id=event.user_id,
            prompt_tokens=detail.prompt_tokens,
            completion_tokens=detail.completion_tokens,
            total_tokens=event.total_tokens,
            cost_usd=event.cost_usd,
            is_counted=detail.is_counted,
            span_events=list(detail.span_events),
            links=list(detail.links),
            resource=dict(detail.resource),
            scope=dict(detail.scope),
            received_at=detail.received_at,
            mapping_version=detail.mapping_version,
        )


class RawSpanModel(SpanModel):
    """One span with its sender's own words."""

    raw: dict[str, JsonValue] | None = Field(
        description="As it came. Null for an event of the events API, whose columns are all there is."
    )

    @classmethod
    def of_raw(cls, detail: SpanDetail, raw: dict[str, JsonValue] | None) -> RawSpanModel:
        """Return a span as JSON, with what it was made from."""
        return cls(**dict(SpanModel.of(detail)), raw=raw)


class PathSegmentModel(BaseModel):
    """A stretch of time that one span bounds by itself."""

    after_ms: float = Field(description="From the start of the trace.")
    duration_ms: float


class PathStepModel(BaseModel):
    """One span of the critical path."""

    span_id: str | None
    event_id: str
    name: str
    event_type: str
    duration_ms: float | None = Field(description="Of the whole span; null when it has not ended.")
    own_ms: float = Field(description="How long it bounds the trace by itself.")
    own_share: float = Field(description="Of the trace's duration.", ge=0, le=1)
    segments: list[PathSegmentModel]


class CriticalPathModel(BaseModel):
    """The spans that bound how long a trace took, in the order in which they first do."""

    trace_id: str
    duration_ms: float = Field(description="From the first start to the last end.")
    steps_count: int
    steps: list[PathStepModel] = Field(description="At most 1,000, those that bound it longest.")

    @classmethod
    def of(cls, trace_id: str, path: CriticalPath) -> CriticalPathModel:
        """Return a path as JSON."""
        return cls(
            trace_id=trace_id,
            duration_ms=path.total_ns / 1e6,
            steps_count=len(path.steps),
            steps=[_build_step(step, path) for step in path.list_longest(MAX_PATH_STEPS)],
        )


def _build_step(step: PathStep, path: CriticalPath) -> PathStepModel:
    span = step.span
    return PathStepModel(
        span_id=span.span_id,
        event_id=str(span.span_uid),
        name=span.name,
        event_type=span.event_type,
        duration_ms=None if span.end_ns is None else (span.end_ns - span.start_ns) / 1e6,
        own_ms=step.own_ns / 1e6,
        own_share=path.compute_share(step),
        segments=[
            PathSegmentModel(
                after_ms=(one.start_ns - path.start_ns) / 1e6, duration_ms=(one.end_ns - one.start_ns) / 1e6
            )
            for one in step.segments[:MAX_PATH_SEGMENTS]
        ],
    )


def _word_status(status: int) -> Literal["unset", "ok", "error"]:
    words: tuple[Literal["unset"], Literal["ok"], Literal["error"]] = STATUS_WORDS
    return words[status]
