"""Results and comparisons of runs as they are on the wire."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from referee.experiments.runs.comparing import MetricChange
from referee.experiments.runs.definitions import PassingRange
from referee.experiments.runs.models import RunModel
from referee.experiments.runs.results import MetricResult, ScoreResult, TrialResult
from referee.experiments.runs.service import RunOutcome, RunPair

__all__ = [
    "ComparableEventModel",
    "CompareEventsModel",
    "EventMetricModel",
    "RunComparisonModel",
    "RunMetricsModel",
    "RunResultModel",
]

FAILED_STATUSES = ("failed", "cancelled")


class PassingRangeModel(BaseModel):
    """Values that pass."""

    min: float | None = None
    max: float | None = None


class MetricDatapointsModel(BaseModel):
    """Datapoints that passed and that did not; of one without an id its session."""

    passed: list[str]
    failed: list[str]


class MetricDetailModel(BaseModel):
    """One metric on events of one name, over all trials."""

    metric_name: str
    metric_type: Literal["COMPOSITE", "PYTHON", "LLM", "HUMAN", "CLIENT_SIDE"]
    event_name: str
    event_type: str
    aggregate: float | None
    values: list[bool | float]
    passing_range: PassingRangeModel | None
    datapoints: MetricDatapointsModel

    @classmethod
    def of(cls, metric: MetricResult) -> Self:
        """Return a metric as it is on the wire."""
        return cls.model_validate(
            {
                "metric_name": metric.key.metric_name,
                "metric_type": metric.type,
                "event_name": metric.key.event_name,
                "event_type": metric.key.event_type,
                "aggregate": metric.aggregate,
                "values": metric.values,
                "passing_range": _render_range(metric.range),
                "datapoints": {"passed": metric.passed, "failed": metric.failed},
            }
        )


class MetricsAggregationModel(BaseModel):
    """Every metric, summed up by one function."""

    aggregation_function: str
    details: list[MetricDetailModel]


class DatapointMetricModel(BaseModel):
    """One score of a trial."""

    name: str
    event_name: str
    event_type: str
    value: bool | float | None = Field(description="Null for a text.")
    passed: bool | None = Field(description="Null when nothing says what passes.")
    text: str | None = Field(default=None, description="A score that is a text.")
    explanation: str | None = None

    @classmethod
    def of(cls, score: ScoreResult) -> Self:
        """Return a score as it is on the wire."""
        return cls(
            name=score.key.metric_name,
            event_name=score.key.event_name,
            event_type=score.key.event_type,
            value=score.value,
            passed=score.is_passed,
            text=score.text,
            explanation=score.explanation,
        )


class DatapointResultModel(BaseModel):
    """One trial."""

    datapoint_id: str | None
    session_id: str
    passed: bool
    metrics: list[DatapointMetricModel]
    error: str | None = Field(default=None, description="Why the task itself failed.")

    @classmethod
    def of(cls, one: TrialResult) -> Self:
        """Return a trial as it is on the wire."""
        return cls(
            datapoint_id=one.trial.datapoint_id,
            session_id=one.trial.session_id,
            passed=one.is_passed,
            metrics=[DatapointMetricModel.of(score) for score in one.scores],
            error=one.trial.error,
        )


class EventDetailModel(BaseModel):
    """A kind of event that the run has."""

    event_name: str
    event_type: str


class RunResultModel(BaseModel):
    """What came out of a run."""

    status: str
    success: bool = Field(description="No trial failed, and the run neither failed nor was cancelled.")
    error: str | None = None
    passed: list[str]
    failed: list[str]
    metrics: MetricsAggregationModel
    datapoints: list[DatapointResultModel]
    event_details: list[EventDetailModel]
    run_object: RunModel

    @classmethod
    def of(cls, outcome: RunOutcome) -> Self:
        """Return a result as it is on the wire."""
        result = outcome.result
        return cls(
            status=outcome.run.status,
            success=not result.failed and outcome.run.status not in FAILED_STATUSES,
            passed=result.passed,
            failed=result.failed,
            metrics=MetricsAggregationModel(
                aggregation_function=result.aggregate_function,
                details=[MetricDetailModel.of(metric) for metric in result.metrics],
            ),
            datapoints=[DatapointResultModel.of(one) for one in result.trials],
            event_details=[
                EventDetailModel(event_name=name, event_type=type_) for name, type_ in result.event_kinds
            ],
            run_object=RunModel.of(outcome.run),
        )


class DatapointReferenceModel(BaseModel):
    """The datapoint of an event."""

    datapoint_id: str | None


class EventMetricModel(BaseModel):
    """The metrics of one event."""

    event_name: str
    event_type: str
    session_id: str
    metadata: DatapointReferenceModel
    metrics: dict[str, Any]


class RunMetricsModel(BaseModel):
    """The metrics of every event that has some."""

    events: list[EventMetricModel]
    totalEvents: int


class MetricComparisonModel(BaseModel):
    """One metric of the new run against the old, over the datapoints that both have."""

    metric_name: str
    metric_type: str
    event_name: str
    event_type: str
    old_aggregate: float | None
    new_aggregate: float | None
    difference: float | None
    percentage_change: float | None
    higher_is_better: bool
    found_count: int = Field(description="Datapoints with a score in both runs.")
    improved_count: int
    degraded_count: int
    same_count: int
    improved: list[str]
    degraded: list[str]
    same: list[str]
    old_values: list[float] = Field(description="Of the datapoints that both runs score, trials averaged.")
    new_values: list[float]

    @classmethod
    def of(cls, change: MetricChange) -> Self:
        """Return a metric's change as it is on the wire."""
        improved, degraded, same = (
            change.list_datapoints("improved"),
            change.list_datapoints("degraded"),
            change.list_datapoints("same"),
        )
        return cls(
            metric_name=change.key.metric_name,
            metric_type=change.type,
            event_name=change.key.event_name,
            event_type=change.key.event_type,
            old_aggregate=change.old_aggregate,
            new_aggregate=change.new_aggregate,
            difference=change.difference,
            percentage_change=change.percentage_change,
            higher_is_better=change.higher_is_better,
            found_count=len(change.changes),
            improved_count=len(improved),
            degraded_count=len(degraded),
            same_count=len(same),
            improved=improved,
            degraded=degraded,
            same=same,
            old_values=list(change.old_values),
            new_values=list(change.new_values),
        )


class EventPresenceModel(BaseModel):
    """A kind of event, and which runs have it."""

    event_name: str
    event_type: str
    presence: Literal["old", "new", "both"]


class RunComparisonModel(BaseModel):
    """Two runs over the datapoints that both have."""

    metrics: list[MetricComparisonModel]
    commonDatapoints: list[str]
    event_details: list[EventPresenceModel]
    old_run: RunModel
    new_run: RunModel

    @classmethod
    def of(cls, pair: RunPair) -> Self:
        """Return a comparison as it is on the wire."""
        return cls(
            metrics=[MetricComparisonModel.of(one) for one in pair.comparison.metrics],
            commonDatapoints=list(pair.comparison.common),
            event_details=[
                EventPresenceModel(
                    event_name=one.event_name, event_type=one.event_type, presence=one.presence
                )
                for one in pair.comparison.events
            ],
            old_run=RunModel.of(pair.old.run),
            new_run=RunModel.of(pair.new.run),
        )


class ComparableEventModel(BaseModel):
    """The same step of both runs on one datapoint."""

    datapoint_id: str
    event_1: dict[str, Any] = Field(description="Of the new run.")
    event_2: dict[str, Any] = Field(description="Of the old run.")


class CompareEventsModel(BaseModel):
    """One page of pairs of events."""

    events: list[ComparableEventModel]
    totalEvents: int = Field(description="Pairs, on all pages.")


def _render_range(range_: PassingRange) -> PassingRangeModel | None:
    if range_.min is None and range_.max is None:
        return None
    return PassingRangeModel(min=range_.min, max=range_.max)
