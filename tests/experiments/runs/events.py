"""Events of made-up runs, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from uuid import UUID, uuid4

from referee.core.findings import JsonValue
from referee.experiments.runs.definitions import MetricDefinition
from referee.experiments.runs.results import RunResult, compute_result
from referee.traces import Event

PROJECT_ID = UUID(int=7)
_clock = count(1_700_000_000_000)


def make_event(
    session_id: str,
    event_id: str,
    *,
    event_type: str = "chain",
    event_name: str = "answer",
    parent_id: str | None = None,
    metrics: Mapping[str, JsonValue] | None = None,
    metadata: Mapping[str, JsonValue] | None = None,
    inputs: Mapping[str, JsonValue] | None = None,
    outputs: Mapping[str, JsonValue] | None = None,
    feedback: Mapping[str, JsonValue] | None = None,
    error: str | None = None,
) -> Event:
    """Return one event, later than every one before it."""
    start_ms = float(next(_clock))
    return Event(
        event_id=event_id,
        session_id=session_id,
        parent_id=parent_id,
        children_ids=[],
        project_id=PROJECT_ID,
        event_type=event_type,
        event_name=event_name,
        source="evaluation",
        start_time_ms=start_ms,
        end_time_ms=start_ms + 5,
        duration_ms=5.0,
        error=error,
        inputs=dict(inputs or {}),
        outputs=dict(outputs or {}),
        config={},
        metadata=dict(metadata or {}),
        metrics=dict(metrics or {}),
        feedback=dict(feedback or {}),
        user_properties={},
        span_uid=uuid4(),
        trace_id=None,
        span_id=None,
        status=0,
        user_id=None,
        model=None,
        total_tokens=None,
        cost_usd=None,
    )


def make_trial(
    session_id: str,
    datapoint_id: str | None,
    metrics: Mapping[str, JsonValue],
    *,
    event_name: str = "answer",
    error: str | None = None,
    answer: str = "",
) -> list[Event]:
    """Return a session's own event and one chain below it that carries the metrics."""
    metadata: dict[str, JsonValue] = {} if datapoint_id is None else {"datapoint_id": datapoint_id}
    return [
        make_event(
            session_id,
            session_id,
            event_type="session",
            event_name="the run",
            metadata=metadata,
            outputs={"answer": answer},
        ),
        make_event(
            session_id,
            f"{session_id}-1",
            event_name=event_name,
            parent_id=session_id,
            metrics=metrics,
            error=error,
        ),
    ]


def define(name: str, **values: JsonValue) -> MetricDefinition:
    """Return the definition of a metric."""
    defaults: dict[str, object] = {"type": "PYTHON", "criteria": "", "metric_id": name, "version": "1"}
    return MetricDefinition(name=name, **{**defaults, **values})  # type: ignore[arg-type]  # plain values


def run_of(*trials: list[Event]) -> RunResult:
    """Return the result of a run with these trials."""
    return compute_result([event for trial in trials for event in trial])
