"""The datapoints of a comparison as a list: what got worse first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from referee.experiments.runs.comparing import MetricChange, group_by_datapoint
from referee.experiments.runs.diffing import TextPart, compute_word_difference, show_value
from referee.experiments.runs.results import TrialResult
from referee.experiments.runs.service import RunPair

__all__ = ["CHANGES", "ComparedDatapoint", "choose_metric", "compare_datapoints", "list_datapoints"]

ChangeWord: TypeAlias = Literal["degraded", "improved", "same", "missing"]
CHANGES: Final[tuple[ChangeWord, ...]] = ("degraded", "improved", "same", "missing")
"""In the order of the list; ``missing``: one of both runs has no score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedDatapoint:
    """One datapoint in both runs, on one metric."""

    datapoint_id: str
    change: ChangeWord
    old_value: float | None
    new_value: float | None
    old_error: str | None
    new_error: str | None
    outputs: Sequence[TextPart]
    """What the new run answered against the old one."""

    @property
    def difference(self) -> float | None:
        """New less old."""
        if self.old_value is None or self.new_value is None:
            return None
        return self.new_value - self.old_value


def choose_metric(pair: RunPair, name: str) -> MetricChange | None:
    """Return the metric that the page is about: the one asked for, else the first that both runs have."""
    metrics = pair.comparison.metrics
    found = next((one for one in metrics if name_metric(one) == name), None)
    return found or next((one for one in metrics if one.changes), metrics[0] if metrics else None)


def name_metric(metric: MetricChange) -> str:
    """Return the name of a metric in an address: metric and event."""
    return f"{metric.key.metric_name}@{metric.key.event_name}"


def list_datapoints(pair: RunPair, metric: MetricChange | None) -> list[tuple[str, ChangeWord, float]]:
    """Return the common datapoints with their change, the worst first; the number says by how much."""
    if metric is None:
        return [(name, "missing", 0.0) for name in pair.comparison.common]
    sign = 1 if metric.higher_is_better else -1
    reach = {
        name: sign * (new - old)
        for name, old, new in zip(metric.changes, metric.old_values, metric.new_values, strict=True)
    }
    rows: list[tuple[str, ChangeWord, float]] = [
        (name, metric.changes.get(name, "missing"), reach.get(name, 0.0)) for name in pair.comparison.common
    ]
    return sorted(rows, key=lambda row: (row[1] == "missing", row[2], row[0]))


def compare_datapoints(
    pair: RunPair, metric: MetricChange | None, rows: Sequence[tuple[str, ChangeWord, float]]
) -> list[ComparedDatapoint]:
    """Return some datapoints with values, errors and the words that differ."""
    before, after = group_by_datapoint(pair.old.result), group_by_datapoint(pair.new.result)
    values = (
        {}
        if metric is None
        else dict(zip(metric.changes, zip(metric.old_values, metric.new_values, strict=True), strict=True))
    )
    return [
        ComparedDatapoint(
            datapoint_id=name,
            change=change,
            old_value=values[name][0] if name in values else None,
            new_value=values[name][1] if name in values else None,
            old_error=_find_error(before[name]),
            new_error=_find_error(after[name]),
            outputs=compute_word_difference(_read_outputs(before[name]), _read_outputs(after[name])),
        )
        for name, change, _ in rows
    ]


def _find_error(trials: Sequence[TrialResult]) -> str | None:
    return next((one.trial.error for one in trials if one.trial.error), None)


def _read_outputs(trials: Sequence[TrialResult]) -> str:
    """Return what the first trial answered: the outputs of its session, else of its first event that has some."""
    trial = trials[0].trial
    own = [event for event in (trial.session_event, *trial.events) if event is not None and event.outputs]
    return show_value(own[0].outputs) if own else ""
