"""Which fields events have: what a filter or a chart can name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from pydantic import BaseModel, Field

from referee.core.findings import JsonValue

if TYPE_CHECKING:
    from referee.foundation.store import Database
    from referee.traces import Event

__all__ = ["EventsSchema", "SchemaFieldModel", "compute_schema", "read_events_schema"]

MAX_FIELDS_COUNT: Final = 5_000
MAX_DEPTH: Final = 4
SAMPLE_COUNT: Final = 2_000
"""The latest events that a project's fields are read from."""
_BUCKETS: Final = ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties")


class SchemaFieldModel(BaseModel):
    """A field, and the type of events that have it."""

    name: str = Field(description="A path such as metadata.run_id.")
    event_type: str


class EventsSchema(BaseModel):
    """Fields of events."""

    fields: list[SchemaFieldModel]
    datasets: list[str] = Field(description="Ids of datasets that the events name.")
    mappings: dict[str, SchemaFieldModel] = Field(
        default_factory=dict, description="Empty: no field of an event is mapped to one of a datapoint."
    )


def compute_schema(events: Sequence[Event]) -> EventsSchema:
    """Return the fields that events have, by name; at most 5,000."""
    fields: dict[tuple[str, str], None] = {}
    datasets: dict[str, None] = {}
    for event in events:
        dataset_id = event.metadata.get("dataset_id")
        if isinstance(dataset_id, str) and dataset_id:
            datasets[dataset_id] = None
        for name in _list_names(event):
            key = (name, event.event_type)
            if key in fields or len(fields) < MAX_FIELDS_COUNT:
                fields[key] = None
    return EventsSchema(
        fields=[SchemaFieldModel(name=name, event_type=type_) for name, type_ in sorted(fields)],
        datasets=sorted(datasets),
    )


async def read_events_schema(
    database: Database,
    project_id: UUID,
    *,
    start_ms: float | None = None,
    end_ms: float | None = None,
) -> EventsSchema:
    """Return the fields of a project's latest events.

    Args:
        database: Where they are.
        project_id: Whose.
        start_ms: Only events that started at this instant or later, in ms since the epoch.
        end_ms: Only events that started at this instant or earlier.
    """
    from referee.traces import list_events  # noqa: PLC0415 - the models alone are needed more often

    page = await list_events(database, project_id, limit=SAMPLE_COUNT, start_ms=start_ms, end_ms=end_ms)
    return compute_schema(page.events)


def _list_names(event: Event) -> Iterator[str]:
    for bucket in _BUCKETS:
        values: Mapping[str, JsonValue] = getattr(event, bucket)
        yield from _flatten(values, bucket + ".", 1)


def _flatten(values: Mapping[str, JsonValue], prefix: str, depth: int) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value and depth < MAX_DEPTH:
            yield from _flatten(value, f"{prefix}{name}.", depth + 1)
        else:
            yield prefix + name
