"""The events of a run as trials: one session each, with the scores its events carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from referee.core.findings import JsonValue
from referee.experiments.runs.composites import compute_composite
from referee.experiments.runs.definitions import MetricDefinition, read_number
from referee.experiments.runs.matching import matches_filters

if TYPE_CHECKING:
    from referee.traces import Event, EventFilter

__all__ = ["MetricKey", "Score", "Trial", "group_trials"]

EXPLANATION_SUFFIX: Final = "_explanation"
MAX_DEPTH: Final = 5
"""Objects inside of metrics that are opened; deeper ones are no scores."""


@dataclass(frozen=True, slots=True, order=True)
class MetricKey:
    """What is compared with what: a metric on events of one name and type."""

    metric_name: str
    event_name: str
    event_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One value that one event carries."""

    key: MetricKey
    value: float | bool | None
    """None for a word, which ``text`` has."""
    text: str | None
    explanation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One session of a run: one try at one datapoint."""

    session_id: str
    datapoint_id: str | None
    events: Sequence[Event]
    """In order of start, the session's own event included when there is one."""
    scores: Sequence[Score]
    error: str | None
    """Why the task itself failed: the error of the session or of an event directly below it."""

    @property
    def name(self) -> str:
        """What it is told by: its datapoint, or its session where it has none."""
        return self.datapoint_id or self.session_id

    @property
    def session_event(self) -> Event | None:
        """The event of the session itself."""
        return next((event for event in self.events if event.event_id == self.session_id), None)


Numbers: TypeAlias = dict[str, list[float]]


def group_trials(
    events: Sequence[Event],
    definitions: Sequence[MetricDefinition] = (),
    filters: Sequence[EventFilter] = (),
) -> list[Trial]:
    """Return one trial for each session, in order of its first event.

    Args:
        events: Of a run, in order of start.
        definitions: Of the project; composite ones are computed for each trial that has all their parts.
        filters: A trial is kept when one of its events meets all of them.
    """
    sessions: dict[str, list[Event]] = {}
    for event in events:
        sessions.setdefault(event.session_id, []).append(event)
    return [
        _build_trial(session_id, own, definitions)
        for session_id, own in sessions.items()
        if not filters or any(matches_filters(event, filters) for event in own)
    ]


def _build_trial(session_id: str, events: Sequence[Event], definitions: Sequence[MetricDefinition]) -> Trial:
    scores = [score for event in events for score in read_scores(event)]
    scores += _compute_composites(events, scores, definitions)
    return Trial(
        session_id=session_id,
        datapoint_id=_find_datapoint_id(session_id, events),
        events=events,
        scores=scores,
        error=_find_error(session_id, events),
    )


def read_scores(event: Event) -> Iterator[Score]:
    """Return the scores of an event: numbers, booleans and words; explanations go with what they explain."""
    flat = dict(_flatten(event.metrics))
    for name, value in flat.items():
        base = name.removesuffix(EXPLANATION_SUFFIX)
        if base != name and base in flat:
            continue
        number: float | bool | None = value if isinstance(value, bool) else read_number(value)
        if number is None and not isinstance(value, str):
            continue
        explanation = flat.get(name + EXPLANATION_SUFFIX)
        yield Score(
            key=MetricKey(name, event.event_name, event.event_type),
            value=number,
            text=value if isinstance(value, str) else None,
            explanation=explanation if isinstance(explanation, str) else None,
        )


def _flatten(
    values: Mapping[str, JsonValue], prefix: str = "", depth: int = 1
) -> Iterator[tuple[str, JsonValue]]:
    for name, value in values.items():
        if isinstance(value, dict):
            if depth < MAX_DEPTH:
                yield from _flatten(value, f"{prefix}{name}.", depth + 1)
        else:
            yield prefix + name, value


def _compute_composites(
    events: Sequence[Event], scores: Sequence[Score], definitions: Sequence[MetricDefinition]
) -> list[Score]:
    """Return the composite metrics of a session that no event carries yet."""
    composites = [one for one in definitions if one.type == "COMPOSITE"]
    if not composites:
        return []
    numbers: Numbers = {}
    for score in scores:
        if score.value is not None:
            numbers.setdefault(score.key.metric_name, []).append(float(score.value))
    session = next((event for event in events if event.event_type == "session"), None)
    event_name = "session" if session is None else session.event_name
    found = []
    for definition in composites:
        if definition.name in numbers:
            continue
        value, _ = compute_composite(definition, numbers)
        if value is not None:
            key = MetricKey(definition.name, event_name, "session")
            found.append(Score(key=key, value=value, text=None, explanation=None))
    return found


def _find_datapoint_id(session_id: str, events: Sequence[Event]) -> str | None:
    ordered = sorted(events, key=lambda event: event.event_id != session_id)
    for event in ordered:
        found = event.metadata.get("datapoint_id")
        if isinstance(found, str) and found:
            return found
    return None


def _find_error(session_id: str, events: Sequence[Event]) -> str | None:
    for event in events:
        is_top = event.event_id == session_id or event.parent_id in (None, session_id)
        if is_top and event.error:
            return event.error
    return None
