"""The same step of two runs, side by side: one pair of events for each datapoint that both have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from referee.experiments.runs.matching import matches_filters
from referee.experiments.runs.trials import Trial

if TYPE_CHECKING:
    from referee.traces import Event, EventFilter

__all__ = ["EventPair", "pair_events"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPair:
    """One datapoint, and an event of each run."""

    datapoint_id: str
    new: Event
    old: Event


def pair_events(
    old: Sequence[Trial],
    new: Sequence[Trial],
    *,
    event_name: str | None = None,
    event_type: str | None = None,
    filters: Sequence[EventFilter] = (),
) -> list[EventPair]:
    """Return one pair for each datapoint of both runs, in the order of the new one.

    Without a name or type the event of the session itself is taken. Of several events the first
    counts, and of several trials the first that has one. A pair of which neither event meets the
    filters is left out.

    Args:
        old: Trials of the baseline.
        new: Trials of the candidate.
        event_name: Only events of that name.
        event_type: Only events of that type.
        filters: At least one event of a pair meets all of them.
    """
    before: dict[str, list[Trial]] = {}
    for trial in old:
        if trial.datapoint_id is not None:
            before.setdefault(trial.datapoint_id, []).append(trial)
    found: dict[str, EventPair] = {}
    for trial in new:
        name = trial.datapoint_id
        if name is None or name in found or name not in before:
            continue
        pair = _find_pair(name, trial, before[name], event_name, event_type)
        if pair is not None and (matches_filters(pair.new, filters) or matches_filters(pair.old, filters)):
            found[name] = pair
    return list(found.values())


def _find_pair(
    name: str, trial: Trial, others: Sequence[Trial], event_name: str | None, event_type: str | None
) -> EventPair | None:
    new = next(_list_events(trial, event_name, event_type), None)
    if new is None:
        return None
    # A step is compared with the one of the same name, where a type alone would allow another.
    # The session's own event stands for the whole trial: two runs rarely give it the same name.
    is_step = event_type is not None and new.event_type != "session"
    wanted = event_name or (new.event_name if is_step else None)
    for other in others:
        old = next(_list_events(other, wanted, event_type), None)
        if old is not None:
            return EventPair(datapoint_id=name, new=new, old=old)
    return None


def _list_events(trial: Trial, event_name: str | None, event_type: str | None) -> Iterator[Event]:
    if event_name is None and event_type is None:
        own = trial.session_event or (trial.events[0] if trial.events else None)
        if own is not None:
            yield own
        return
    for event in trial.events:
        has_name = event_name is None or event.event_name == event_name
        if has_name and (event_type is None or event.event_type == event_type):
            yield event
