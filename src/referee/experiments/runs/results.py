"""What came out of a run: which trials passed, and each metric summed up. Pure: events in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from referee.experiments.runs.aggregates import DEFAULT_AGGREGATE, compute_aggregate
from referee.experiments.runs.definitions import (
    NO_RANGE,
    MetricDefinition,
    PassingRange,
)
from referee.experiments.runs.trials import MetricKey, Score, Trial, group_trials

if TYPE_CHECKING:
    from referee.traces import Event, EventFilter

__all__ = ["CLIENT_SIDE", "MetricResult", "RunResult", "ScoreResult", "TrialResult", "compute_result"]

CLIENT_SIDE = "CLIENT_SIDE"
"""Type of a metric that no definition here has: the client computed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreResult:
    """One score of a trial, and whether it passes."""

    key: MetricKey
    value: float | bool | None
    text: str | None
    explanation: str | None
    is_passed: bool | None
    """None when nothing says what passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """One trial: passed when none of its scores failed and the task itself did not."""

    trial: Trial
    scores: Sequence[ScoreResult]
    is_passed: bool


@dataclass(slots=True, kw_only=True)
class MetricResult:
    """One metric on events of one name, over all trials."""

    key: MetricKey
    type: str
    aggregate: float | None = None
    values: list[float | bool] = field(default_factory=list)
    """In the order of the trials."""
    range: PassingRange = NO_RANGE
    passed: list[str] = field(default_factory=list)
    """Names of trials."""
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """All trials and all metrics of a run."""

    trials: Sequence[TrialResult]
    metrics: Sequence[MetricResult]
    """By name of metric and event."""
    event_kinds: Sequence[tuple[str, str]]
    """Name and type of every kind of event, in the order of their first."""
    aggregate_function: str

    @property
    def passed(self) -> list[str]:
        """Names of the datapoints of which every trial passed, each once."""
        failed = set(self.failed)
        return list(dict.fromkeys(one.trial.name for one in self.trials if one.trial.name not in failed))

    @property
    def failed(self) -> list[str]:
        """Names of the datapoints of which a trial did not pass, each once."""
        return list(dict.fromkeys(one.trial.name for one in self.trials if not one.is_passed))

    @property
    def errors_count(self) -> int:
        """Trials whose task failed."""
        return sum(one.trial.error is not None for one in self.trials)


def compute_result(
    events: Sequence[Event],
    *,
    definitions: Sequence[MetricDefinition] = (),
    passing_ranges: Mapping[str, PassingRange] | None = None,
    aggregate_function: str = DEFAULT_AGGREGATE,
    filters: Sequence[EventFilter] = (),
) -> RunResult:
    """Return the result of a run.

    Numbers and booleans are aggregated (true counts 1); words are kept with their trial and never
    aggregated. A score passes when it lies in the range that the run gives for its metric, else in
    the threshold of the metric's definition; a boolean without a range passes when it is true, and
    a number without one neither passes nor fails.

    Args:
        events: Every event of every session of the run, in order of start.
        definitions: Metrics of the project.
        passing_ranges: Name of a metric → what passes, as the run says.
        aggregate_function: One of ``AGGREGATE_FUNCTIONS``.
        filters: Only trials with an event that meets all of them.
    """
    ranges = passing_ranges or {}
    by_name = {one.name: one for one in definitions}
    trials = group_trials(events, definitions, filters)
    metrics: dict[MetricKey, MetricResult] = {}
    judged = []
    for trial in trials:
        scores = [_judge(score, ranges, by_name) for score in trial.scores]
        is_passed = trial.error is None and all(score.is_passed is not False for score in scores)
        judged.append(TrialResult(trial=trial, scores=scores, is_passed=is_passed))
        for score in scores:
            if score.value is not None:
                _add(metrics, trial, score, score.value, ranges, by_name)
    for metric in metrics.values():
        metric.aggregate = compute_aggregate(aggregate_function, metric.values)
    kinds = dict.fromkeys((event.event_name, event.event_type) for trial in trials for event in trial.events)
    return RunResult(
        trials=judged,
        metrics=[metrics[key] for key in sorted(metrics)],
        event_kinds=list(kinds),
        aggregate_function=aggregate_function,
    )


def find_range(
    name: str, ranges: Mapping[str, PassingRange], definitions: Mapping[str, MetricDefinition]
) -> PassingRange:
    """Return what passes of a metric: as the run says, else as its definition does."""
    if name in ranges:
        return ranges[name]
    definition = definitions.get(name)
    return NO_RANGE if definition is None else definition.passing_range


def _judge(
    score: Score, ranges: Mapping[str, PassingRange], definitions: Mapping[str, MetricDefinition]
) -> ScoreResult:
    range_ = find_range(score.key.metric_name, ranges, definitions)
    if score.value is not None:
        is_passed = range_.judge(score.value)
    else:
        is_passed = score.text in range_.categories if range_.categories else None
    return ScoreResult(
        key=score.key,
        value=score.value,
        text=score.text,
        explanation=score.explanation,
        is_passed=is_passed,
    )


def _add(
    metrics: dict[MetricKey, MetricResult],
    trial: Trial,
    score: ScoreResult,
    value: float | bool,
    ranges: Mapping[str, PassingRange],
    definitions: Mapping[str, MetricDefinition],
) -> None:
    name = score.key.metric_name
    if score.key not in metrics:
        definition = definitions.get(name)
        metrics[score.key] = MetricResult(
            key=score.key,
            type=CLIENT_SIDE if definition is None else definition.type,
            range=find_range(name, ranges, definitions),
        )
    metric = metrics[score.key]
    metric.values.append(value)
    if score.is_passed is not None:
        names = metric.passed if score.is_passed else metric.failed
        if trial.name not in names[-1:]:
            names.append(trial.name)
