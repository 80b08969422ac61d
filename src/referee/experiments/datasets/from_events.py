"""Datapoints made of events: which events, and what of them goes where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.experiments.datasets.datapoints import MAX_BATCH_COUNT, add_contents, create_datapoints
from referee.experiments.datasets.views import DatapointContent
from referee.foundation.store import Database
from referee.traces import Event, get_event, list_events, parse_event_filters, render_event

__all__ = ["create_from_events", "map_event"]

_PAGE_COUNT = 1_000
_BUCKETS = ("inputs", "outputs", "feedback", "metadata", "config", "metrics", "user_properties")


async def create_from_events(
    database: Database,
    project_id: UUID,
    event_ids: Sequence[str],
    *,
    filters: object = None,
    date_range: Mapping[str, JsonValue] | None = None,
    mapping: Mapping[str, Sequence[str]] | None = None,
    dataset_id: UUID | None = None,
) -> list[UUID]:
    """Create a datapoint for each event, and add them to a dataset if one is named. Returns their ids.

    Args:
        database: Where events and datapoints are.
        project_id: Whose.
        event_ids: Which events, in this order.
        filters: When no event is named: all that match these.
        date_range: ``$gte`` and ``$lte`` of the events' start, when no event is named.
        mapping: Which of an event's members go where; None: inputs, and ground truth or outputs.
        dataset_id: What they are added to.

    Raises:
        NotFound: There is no such event or dataset.
        InvalidInput: A filter or a mapping is not usable, or there are too many events.
    """
    if event_ids:
        events = [await get_event(database, project_id, event_id) for event_id in event_ids]
    else:
        events = await _find_events(database, project_id, filters, date_range)
    contents = [map_event(event, mapping) for event in events]
    async with database.transaction() as session:
        if dataset_id is not None:
            return await add_contents(session, project_id, dataset_id, contents)
        return await create_datapoints(session, project_id, contents)


def map_event(event: Event, mapping: Mapping[str, Sequence[str]] | None) -> DatapointContent:
    """Return the datapoint that an event makes.

    A member is named by its path from the event, such as ``inputs.question``, or by its name alone; a whole
    bucket, such as ``outputs``, gives all its members. Without a mapping the inputs stay what they are, and
    the ground truth is that of the feedback or, without one, the outputs.

    Raises:
        InvalidInput: A member mapped to history is no list of objects.
    """
    wire = render_event(event)
    linked: dict[str, JsonValue] = {"session_id": event.session_id, "event_name": event.event_name}
    if mapping is None or not any(mapping.values()):
        truth = event.feedback.get("ground_truth")
        return DatapointContent(
            inputs=event.inputs,
            ground_truth=truth
            if isinstance(truth, dict)
            else ({"ground_truth": truth} if truth else event.outputs),
            metadata=linked,
            linked_event=event.event_id,
        )
    history: list[JsonValue] = []
    for name, value in _pick(wire, mapping.get("history", ())).items():
        found = value if isinstance(value, list) else [value]
        if not all(isinstance(one, dict) for one in found):
            raise InvalidInput(
                "datapoint.history_invalid",
                f"The member {name[:80]!r} is mapped to history and is no list of objects.",
                'Give messages such as [{"role": "user", "content": "Hello"}], or map it elsewhere.',
            )
        history.extend(found)
    return DatapointContent(
        inputs=_pick(wire, mapping.get("inputs", ())),
        ground_truth=_pick(wire, mapping.get("ground_truth", ())) or None,
        history=history,
        metadata=linked,
        linked_event=event.event_id,
    )


def _pick(wire: Mapping[str, JsonValue], paths: Sequence[str]) -> dict[str, JsonValue]:
    picked: dict[str, JsonValue] = {}
    for path in paths:
        bucket = wire.get(path)
        if path in _BUCKETS and isinstance(bucket, dict):
            picked.update(bucket)
            continue
        is_found, value = _follow(wire, path)
        if is_found:
            picked[path.rpartition(".")[2]] = value
    return picked


def _follow(wire: Mapping[str, JsonValue], path: str) -> tuple[bool, JsonValue]:
    """Return whether an event has a member, and its value: by its path, or by its name in one of the buckets."""
    buckets = [wire.get(name) for name in _BUCKETS]
    for start in (wire, *(bucket for bucket in buckets if isinstance(bucket, dict))):
        value: Any = start
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                break
            value = value[part]
        else:
            return True, value
    return False, None


async def _find_events(
    database: Database, project_id: UUID, filters: object, date_range: Mapping[str, JsonValue] | None
) -> list[Event]:
    conditions = parse_event_filters(_list_filters(filters))
    bounds = date_range or {}
    start_ms = _read_instant(bounds.get("$gte", bounds.get("gte")))
    end_ms = _read_instant(bounds.get("$lte", bounds.get("lte")))
    events: list[Event] = []
    for page in range(1, MAX_BATCH_COUNT // _PAGE_COUNT + 1):
        found = await list_events(
            database, project_id, conditions, limit=_PAGE_COUNT, page=page, start_ms=start_ms, end_ms=end_ms
        )
        if found.total_count > MAX_BATCH_COUNT:
            raise InvalidInput(
                "datapoint.too_many",
                f"{found.total_count:,} events match, and one request makes at most {MAX_BATCH_COUNT:,} datapoints.",
                "Narrow the filters or the dates.",
            )
        events.extend(found.events)
        if len(found.events) < _PAGE_COUNT:
            break
    return events


def _list_filters(filters: object) -> object:
    if filters is None:
        return []
    if isinstance(filters, dict):
        return filters.get("filterArray", [filters] if filters else [])
    return filters


def _read_instant(value: JsonValue) -> float | None:
    """Return milliseconds since 1970 of a number or an ISO 8601 text."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp() * 1_000
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            "datapoint.date_invalid",
            f"{str(value)[:80]!r} is not an instant.",
            "Write it as 2030-01-31T00:00:00Z.",
        ) from error
