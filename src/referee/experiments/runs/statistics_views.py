"""A paired comparison as values: what its JSON answers and its page draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from referee.foundation.statistics import Interval, PairedOutcomes

__all__ = ["MetricStatistics", "MissingCell", "RepeatedDatapoint", "RunStatistics", "Verdict"]

Verdict: TypeAlias = Literal["better", "worse", "not_shown", "unknown"]
"""``not_shown``: the difference may be chance. ``unknown``: too few datapoints have the metric in both runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingCell:
    """A datapoint without a score of a metric in one of both runs."""

    datapoint_id: str
    run: Literal["old", "new"]
    """The run that lacks it."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedDatapoint:
    """A datapoint with several trials in a run; each run's are averaged before the comparison."""

    datapoint_id: str
    old_values: Sequence[float]
    new_values: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricStatistics:
    """One metric of the new run against the old. What cannot be computed is null."""

    metric_name: str
    event_name: str
    event_type: str
    metric_type: str
    higher_is_better: bool
    shared_count: int
    """Datapoints with a score in both runs."""
    planned_count: int
    """Datapoints of either run."""
    old_mean: float | None
    """Over the shared datapoints."""
    new_mean: float | None
    difference: Interval | None
    """New less old, with its interval; of yes-or-no scores a difference of shares."""
    difference_method: str | None
    """``studentized`` bootstrap, or ``newcombe`` of yes-or-no scores."""
    p_value: float | None
    p_method: str | None
    adjusted_p_value: float | None
    """By Holm, over all metrics."""
    verdict: Verdict
    cliffs_delta: Interval | None
    """Chance that the new run is above the old less that it is below, -1 to 1."""
    shift: Interval | None
    """Hodges–Lehmann, new less old."""
    improved_count: int
    degraded_count: int
    same_count: int
    outcomes: PairedOutcomes | None
    """Of yes-or-no scores; first is the new run."""
    detectable_difference: float | None
    """The least true difference that these datapoints show with the chance ``power``."""
    repeated: Sequence[RepeatedDatapoint]
    repeated_count: int
    missing: Sequence[MissingCell]
    missing_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatistics:
    """Two runs, metric by metric, and what the numbers rest on."""

    level: float
    """Of every interval, a share."""
    adjustment: Literal["holm"]
    looks_count: int
    """Metrics that were looked at."""
    power: float
    resamples_count: int
    seed: int
    common_count: int
    """Datapoints of both runs."""
    old_only_count: int
    new_only_count: int
    unpaired_count: int
    """Trials of either run without a datapoint id: nothing to pair them by."""
    metrics: Sequence[MetricStatistics]
    notes: Sequence[str]
    """What was left out, and why."""
