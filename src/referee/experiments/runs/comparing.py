"""What changed from one run to another, datapoint by datapoint. Pure: two results in, one comparison out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, isclose
from typing import Literal, TypeAlias

from referee.experiments.runs.aggregates import compute_aggregate
from referee.experiments.runs.definitions import NO_RANGE, MetricDefinition, PassingRange, prefers_higher
from referee.experiments.runs.results import RunResult, TrialResult
from referee.experiments.runs.trials import MetricKey

__all__ = [
    "Change",
    "EventPresence",
    "KeyPair",
    "MetricChange",
    "RunComparison",
    "compute_comparison",
    "group_by_datapoint",
    "pair_keys",
    "prefers_higher_values",
]

Change: TypeAlias = Literal["improved", "degraded", "same"]
SAME_SHARE = 1e-9
"""Means of the same scores in another order differ by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange:
    """One metric over the datapoints that have it in both runs; trials of one datapoint are averaged first."""

    key: MetricKey
    type: str
    higher_is_better: bool
    old_aggregate: float | None
    new_aggregate: float | None
    changes: Mapping[str, Change]
    """Datapoint → which way it went, for those that have a score in both runs."""
    old_values: Sequence[float]
    """Of the datapoints in ``changes``, in that order."""
    new_values: Sequence[float]

    def list_datapoints(self, change: Change) -> list[str]:
        """Return the datapoints that went that way."""
        return [name for name, one in self.changes.items() if one == change]

    @property
    def difference(self) -> float | None:
        """New aggregate less old."""
        if self.old_aggregate is None or self.new_aggregate is None:
            return None
        return self.new_aggregate - self.old_aggregate

    @property
    def percentage_change(self) -> float | None:
        """The difference in percent of the old aggregate; None when that is 0."""
        if self.difference is None or not self.old_aggregate:
            return None
        return 100 * self.difference / abs(self.old_aggregate)


@dataclass(frozen=True, slots=True)
class EventPresence:
    """A kind of event, and in which of both runs it is."""

    event_name: str
    event_type: str
    presence: Literal["old", "new", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """Two runs over the datapoints that both have."""

    metrics: Sequence[MetricChange]
    common: Sequence[str]
    """Datapoints of both, in the order of the new run."""
    old_only: Sequence[str]
    new_only: Sequence[str]
    events: Sequence[EventPresence]
    aggregate_function: str


def compute_comparison(
    old: RunResult,
    new: RunResult,
    *,
    definitions: Sequence[MetricDefinition] = (),
    passing_ranges: Mapping[str, PassingRange] | None = None,
) -> RunComparison:
    """Return what changed from ``old`` to ``new``.

    Trials are paired by datapoint id; a trial without one cannot be paired and counts in neither run.

    Args:
        old: The baseline.
        new: The candidate, aggregated by the same function.
        definitions: Of the project; they say which direction of a metric is better.
        passing_ranges: Of the new run, for metrics that no definition has.
    """
    before, after = group_by_datapoint(old), group_by_datapoint(new)
    common = [name for name in after if name in before]
    by_name = {one.name: one for one in definitions}
    types = {metric.key: metric.type for result in (old, new) for metric in result.metrics}
    return RunComparison(
        metrics=[
            _compare_metric(
                one.key,
                types[one.key],
                {name: _read_values(before[name], one.old) for name in common},
                {name: _read_values(after[name], one.new) for name in common},
                new.aggregate_function,
                prefers_higher_values(one.key.metric_name, by_name, passing_ranges or {}),
            )
            for one in pair_keys(old, new)
        ],
        common=common,
        old_only=[name for name in before if name not in after],
        new_only=[name for name in after if name not in before],
        events=_compare_kinds(old.event_kinds, new.event_kinds),
        aggregate_function=new.aggregate_function,
    )


@dataclass(frozen=True, slots=True)
class KeyPair:
    """What a metric is called in each of both runs."""

    key: MetricKey
    """How it is told: as in the new run, where that has it."""
    old: MetricKey
    new: MetricKey


def pair_keys(old: RunResult, new: RunResult) -> list[KeyPair]:
    """Return which metric of one run is compared with which of the other, by name.

    A metric is the same on events of the same name. Where both runs have a metric on one kind of event
    each, and the events have different names, as those of two functions have, it is the same one too.
    """
    before, after = ({metric.key for metric in result.metrics} for result in (old, new))
    found = [KeyPair(key, key, key) for key in before & after]
    left, right = before - after, after - before
    for key in sorted(right):
        alike = [one for one in left if one.metric_name == key.metric_name]
        rivals = [one for one in before | after if one.metric_name == key.metric_name]
        if len(alike) == 1 and len(rivals) == 2:
            found.append(KeyPair(key, alike[0], key))
            left.remove(alike[0])
        else:
            found.append(KeyPair(key, key, key))
    found += [KeyPair(key, key, key) for key in left]
    return sorted(found, key=lambda pair: pair.key)


def group_by_datapoint(result: RunResult) -> dict[str, list[TrialResult]]:
    """Return datapoint → its trials, in their order."""
    found: dict[str, list[TrialResult]] = {}
    for one in result.trials:
        if one.trial.datapoint_id is not None:
            found.setdefault(one.trial.datapoint_id, []).append(one)
    return found


def prefers_higher_values(
    name: str, definitions: Mapping[str, MetricDefinition], ranges: Mapping[str, PassingRange]
) -> bool:
    """Return whether higher values of a metric are better: they are, unless definition or range say otherwise."""
    if name in definitions:
        return definitions[name].higher_is_better
    return prefers_higher(ranges.get(name, NO_RANGE))


def _read_values(trials: Sequence[TrialResult], key: MetricKey) -> list[float]:
    return [
        float(score.value)
        for trial in trials
        for score in trial.scores
        if score.key == key and score.value is not None
    ]


def _compare_metric(
    key: MetricKey,
    type_: str,
    before: Mapping[str, Sequence[float]],
    after: Mapping[str, Sequence[float]],
    function: str,
    higher_is_better: bool,
) -> MetricChange:
    changes: dict[str, Change] = {}
    old_values, new_values = [], []
    for name in before:
        if before[name] and after[name]:
            old = fsum(before[name]) / len(before[name])
            new = fsum(after[name]) / len(after[name])
            changes[name] = _tell_change(old, new, higher_is_better)
            old_values.append(old)
            new_values.append(new)
    return MetricChange(
        key=key,
        type=type_,
        higher_is_better=higher_is_better,
        old_aggregate=compute_aggregate(function, [one for values in before.values() for one in values]),
        new_aggregate=compute_aggregate(function, [one for values in after.values() for one in values]),
        changes=changes,
        old_values=old_values,
        new_values=new_values,
    )


def _tell_change(old: float, new: float, higher_is_better: bool) -> Change:
    if isclose(old, new, rel_tol=SAME_SHARE, abs_tol=1e-12):
        return "same"
    return "improved" if (new > old) == higher_is_better else "degraded"


def _compare_kinds(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> list[EventPresence]:
    before, after = set(old), set(new)
    return [
        EventPresence(
            name,
            type_,
            "both" if (name, type_) in before & after else "new" if (name, type_) in after else "old",
        )
        for name, type_ in dict.fromkeys([*new, *old])
    ]
