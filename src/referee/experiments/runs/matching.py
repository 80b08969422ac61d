"""Whether an event meets filters, decided in memory the way the event store decides it in SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from referee.core.findings import JsonValue
from referee.experiments.runs.definitions import read_number

if TYPE_CHECKING:
    from referee.traces import Event, EventFilter

__all__ = ["find_value", "matches_filters", "read_path"]

_BUCKETS: Final = frozenset(
    {"inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties"}
)
_ROOTS: Final[Mapping[str, str]] = {
    "event_id": "event_id",
    "session_id": "session_id",
    "parent_id": "parent_id",
    "event_type": "event_type",
    "event_name": "event_name",
    "source": "source",
    "error": "error",
    "start_time": "start_time_ms",
    "end_time": "end_time_ms",
    "duration": "duration_ms",
    "children_ids": "children_ids",
}
_ORDERS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "greater than": lambda left, right: left > right,
    "less than": lambda left, right: left < right,
    "after": lambda left, right: left > right,
    "before": lambda left, right: left < right,
}


def matches_filters(event: Event, filters: Sequence[EventFilter]) -> bool:
    """Return whether an event meets all filters; no filter is met by every event."""
    return all(_matches(find_value(event, one.field), one) for one in filters)


def find_value(event: Event, path: str) -> JsonValue:
    """Return what a field names: a root field, or a dotted path into a bucket; None when there is nothing."""
    if path == "project_id":
        return str(event.project_id)
    if path in _ROOTS:
        value: JsonValue = getattr(event, _ROOTS[path])
        return value
    bucket, _, rest = path.partition(".")
    if bucket not in _BUCKETS:
        return None
    values: dict[str, JsonValue] = getattr(event, bucket)
    return read_path(values, rest) if rest else values


def read_path(value: JsonValue, path: str) -> JsonValue:
    """Return the value at a dotted path. A key that has dots itself is found first, as it is written."""
    if isinstance(value, dict):
        if path in value:
            return value[path]
        parts = path.split(".")
        for count in range(len(parts) - 1, 0, -1):
            head = ".".join(parts[:count])
            if head in value:
                found = read_path(value[head], ".".join(parts[count:]))
                if found is not None:
                    return found
        return None
    if isinstance(value, list):
        head, _, rest = path.partition(".")
        if head.isascii() and head.isdigit() and int(head[:9]) < len(value):
            item = value[int(head[:9])]
            return read_path(item, rest) if rest else item
    return None


def _matches(value: JsonValue, one: EventFilter) -> bool:
    if one.operator == "exists":
        return value is not None
    if one.operator == "not exists":
        return value is None
    if one.operator == "is":
        return _is_equal(value, one)
    if one.operator == "is not":
        return not _is_equal(value, one)
    if one.operator == "contains":
        return _contains(value, one.value)
    if one.operator == "not contains":
        return not _contains(value, one.value)
    compare = _ORDERS.get(one.operator)
    if compare is None:
        return False
    read = _read_instant_ms if one.type == "datetime" else _read_number
    left, right = read(value), read(one.value)
    return left is not None and right is not None and compare(left, right)


def _is_equal(value: JsonValue, one: EventFilter) -> bool:
    if one.value is None or value is None:
        return value is None and one.value is None
    if one.type == "number":
        left, right = _read_number(value), _read_number(one.value)
        return left is not None and left == right
    if one.type == "boolean":
        return _read_flag(value) is not None and _read_flag(value) == _read_flag(one.value)
    if one.type == "datetime":
        left, right = _read_instant_ms(value), _read_instant_ms(one.value)
        return left is not None and left == right
    return _to_text(value) == _to_text(one.value)


def _contains(value: JsonValue, part: JsonValue) -> bool:
    if value is None or part is None:
        return False
    if isinstance(value, list):
        return any(_to_text(item) == _to_text(part) for item in value)
    return _to_text(part).lower() in _to_text(value).lower()


def _read_number(value: JsonValue) -> float | None:
    if isinstance(value, str):
        try:
            return read_number(float(value))
        except ValueError:
            return None
    return read_number(value)


def _read_flag(value: JsonValue) -> bool | None:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    return value if isinstance(value, bool) else None


def _read_instant_ms(value: JsonValue) -> float | None:
    number = _read_number(value)
    if number is not None or not isinstance(value, str):
        return number
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000


def _to_text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
