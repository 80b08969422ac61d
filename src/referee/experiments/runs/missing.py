"""Why a datapoint has no score of a metric in a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from referee.experiments.runs.comparing import KeyPair
from referee.experiments.runs.results import TrialResult
from referee.experiments.runs.statistics_views import MissingCell
from referee.experiments.runs.trials import MetricKey

__all__ = ["list_missing"]

_REASON_CHARACTERS: Final = 300


def list_missing(
    pair: KeyPair,
    names: Sequence[str],
    before: Mapping[str, Sequence[TrialResult]],
    after: Mapping[str, Sequence[TrialResult]],
    old_values: Mapping[str, Sequence[float]],
    new_values: Mapping[str, Sequence[float]],
) -> list[MissingCell]:
    """Return every datapoint that lacks a score of the metric in a run, with the reason."""
    return [
        *_list_of("old", "new", pair.old, names, before, old_values),
        *_list_of("new", "old", pair.new, names, after, new_values),
    ]


def _list_of(
    run: Literal["old", "new"],
    other: str,
    key: MetricKey,
    names: Sequence[str],
    trials: Mapping[str, Sequence[TrialResult]],
    values: Mapping[str, Sequence[float]],
) -> Iterator[MissingCell]:
    for name in names:
        if values.get(name):
            continue
        own = trials.get(name)
        reason = _explain(key, own) if own else f"The datapoint is only in the {other} run."
        yield MissingCell(datapoint_id=name, run=run, reason=reason[:_REASON_CHARACTERS])


def _explain(key: MetricKey, trials: Sequence[TrialResult]) -> str:
    error = next((one.trial.error for one in trials if one.trial.error), None)
    if error is not None:
        return f"The task failed: {error}"
    for score in (score for one in trials for score in one.scores):
        if score.key == key and score.text is not None:
            return score.explanation or f"Its score is the text {score.text!r}, which is no number."
    kinds = {(event.event_name, event.event_type) for one in trials for event in one.trial.events}
    if (key.event_name, key.event_type) not in kinds:
        return f"It has no {key.event_type} event {key.event_name!r}."
    return "Its event carries no score of this metric."
