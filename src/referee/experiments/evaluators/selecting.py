"""Which metrics are to be computed of which events: filters, then a sample that is the same each time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from referee.core.errors import InvalidInput
from referee.experiments.evaluators.scoring import has_ground_truth
from referee.experiments.runs.composites import read_children
from referee.experiments.runs.definitions import MetricDefinition, read_number
from referee.experiments.runs.matching import matches_filters
from referee.traces import EventFilter, parse_event_filters

if TYPE_CHECKING:
    from referee.traces import Event

__all__ = ["Selected", "is_sampled", "select_evaluations"]

log = structlog.get_logger(__name__)

COMPUTED_TYPES: Final = frozenset({"PYTHON", "LLM", "COMPOSITE"})
"""HUMAN metrics are given by people."""


@dataclass(frozen=True, slots=True)
class Selected:
    """One metric to be computed of one event."""

    event: Event
    definition: MetricDefinition


def select_evaluations(events: Sequence[Event], metrics: Sequence[MetricDefinition]) -> list[Selected]:
    """Return what is to be computed.

    An event is judged by a metric that is enabled, all of whose filters it meets, and in whose
    sample it falls. A metric that needs a ground truth waits until the event has one, and a
    composite one until the event carries all its parts. An event that a metric's own name stands
    in already, from a client, is left as it is.
    """
    found: list[Selected] = []
    for definition in metrics:
        if not definition.enabled_in_prod or definition.type not in COMPUTED_TYPES:
            continue
        filters = _read_filters(definition)
        if filters is None:
            continue
        found += [
            Selected(event, definition)
            for event in events
            if _is_ready(event, definition)
            and matches_filters(event, filters)
            and is_sampled(event.event_id, definition.metric_id, definition.sampling_percentage)
        ]
    return found


def is_sampled(event_id: str, metric_id: str, percentage: float) -> bool:
    """Return whether an event falls into a metric's sample: the same answer each time it is asked.

    Args:
        event_id: Of the event.
        metric_id: Of the metric, so that metrics do not all judge the same events.
        percentage: 0–100 of all events.
    """
    digest = hashlib.sha256(f"{metric_id}\0{event_id}".encode(errors="replace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < percentage / 100


def _is_ready(event: Event, definition: MetricDefinition) -> bool:
    if definition.name in event.metrics:
        return False
    if definition.needs_ground_truth and not has_ground_truth(event):
        return False
    if definition.type != "COMPOSITE":
        return True
    children = read_children(definition)
    return bool(children) and all(
        isinstance(event.metrics.get(child.name), bool)
        or read_number(event.metrics.get(child.name)) is not None
        for child in children
    )


def _read_filters(definition: MetricDefinition) -> list[EventFilter] | None:
    """Return the filters of a metric; None, and a line in the log, when they cannot be understood."""
    raw = definition.filters.get("filterArray")
    if not raw:
        return []
    try:
        return parse_event_filters(raw)
    except InvalidInput as error:
        log.warning("metric.filters_unreadable", metric_id=definition.metric_id, reason=error.message)
        return None
