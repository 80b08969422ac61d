"""The filters of the events API: field, operator, value, type.

Several are joined by AND. A field is one of an event's own, or a path into a
bucket; a key that holds dots itself is found before the path that it spells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Numeric,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from referee.core.errors import InvalidInput
from referee.traces.events import NS_PER_MS
from referee.traces.identity import MAX_ID_CHARACTERS, compute_uid
from referee.traces.mapping.applying import BUCKETS
from referee.traces.tables import SessionRow, SpanRow

__all__ = [
    "OPERATORS",
    "TYPES",
    "EventFilter",
    "build_condition",
    "build_conditions",
    "parse_event_filters",
    "parse_instant_ns",
]

OPERATORS: Final = (
    "exists",
    "not exists",
    "is",
    "is not",
    "contains",
    "not contains",
    "greater than",
    "less than",
    "after",
    "before",
)
TYPES: Final = ("string", "number", "boolean", "datetime")
MAX_FILTERS: Final = 50
MAX_VALUE_CHARACTERS: Final = 10_000
MAX_DIGITS: Final = 40
_NUMBER: Final = r"^[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?$"
_ISO: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """One condition."""

    field: str
    operator: str
    value: str | float | bool | None
    type: str = "string"


def parse_event_filters(raw: object) -> list[EventFilter]:
    """Return the filters in a request's list.

    Raises:
        InvalidInput: It is not a list of filters, or an operator, a type or a value is not known.
    """
    if raw is None:
        return []
    if not isinstance(raw, list) or len(raw) > MAX_FILTERS:
        raise _invalid(f"Filters are a list of at most {MAX_FILTERS}.")
    return [_parse_filter(item) for item in raw]


def _parse_filter(item: object) -> EventFilter:
    if not isinstance(item, dict):
        raise _invalid("A filter is an object with field, operator, value and type.")
    field, operator = item.get("field"), item.get("operator")
    kind, value = item.get("type") or "string", item.get("value")
    if not isinstance(field, str) or not 0 < len(field) <= MAX_ID_CHARACTERS:
        raise _invalid("A filter's field is a name, or a path such as metadata.run_id.")
    if operator not in OPERATORS:
        raise _invalid(f"The operator {str(operator)[:40]!r} does not exist.")
    if kind not in TYPES:
        raise _invalid(f"The type {str(kind)[:40]!r} does not exist.")
    if value is not None and not isinstance(value, str | int | float):
        raise _invalid("A filter's value is a text, a number, true, false or null.")
    if isinstance(value, str) and len(value) > MAX_VALUE_CHARACTERS:
        raise _invalid(f"A filter's value has at most {MAX_VALUE_CHARACTERS} characters.")
    if value is None and operator not in ("exists", "not exists", "is", "is not"):
        raise _invalid(f"The operator {operator} needs a value.")
    if isinstance(value, str):
        value = value.replace("\x00", "�")
    parsed = EventFilter(field.replace("\x00", "�"), operator, value, kind)
    build_condition(parsed)
    return parsed


def _invalid(message: str) -> InvalidInput:
    return InvalidInput(
        "events.filter_invalid",
        message,
        f"Operators: {', '.join(OPERATORS)}. Types: {', '.join(TYPES)}.",
    )


def build_condition(wanted: EventFilter) -> ColumnElement[bool]:
    """Return the filter in SQL.

    Raises:
        InvalidInput: The value is not of the filter's type, or the field is not one of an event.
    """
    if wanted.field in _OWN:
        return _OWN[wanted.field](wanted)
    bucket, _, path = wanted.field.partition(".")
    if bucket == "metadata" and path in _LINEAGE:
        if path == "trace_id" and wanted.operator == "is" and _is_trace_id(wanted.value):
            return and_(true(), SpanRow.trace_id == UUID(str(wanted.value)))
        return _LINEAGE[path](wanted)
    if bucket not in BUCKETS:
        raise _invalid(f"An event has no field {wanted.field[:80]!r}.")
    column = getattr(SpanRow, f"{bucket}_json")
    if not path:
        return _compare_json(wanted, cast(column, JSONB))
    if "." not in path:
        return _compare_json(wanted, column[path])
    parts = path.split(".")[:40]
    nested = func.jsonb_extract_path(column, *(cast(part, _TEXT) for part in parts))
    return _compare_json(wanted, func.coalesce(column[path], cast(nested, JSONB)))


def _is_trace_id(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value) is not None


def _compare_json(wanted: EventFilter, value: Any) -> ColumnElement[bool]:
    value = cast(value, JSONB)
    text = value.op("#>>", return_type=_TEXT)(literal_column("'{}'::text[]"))
    is_there = and_(value.is_not(None), func.jsonb_typeof(value) != "null")
    if wanted.operator == "exists":
        return is_there
    if wanted.operator == "not exists":
        return not_(func.coalesce(is_there, False))
    number = case(
        (func.jsonb_typeof(value) == "number", cast(text, Numeric)),
        (text.regexp_match(_NUMBER), cast(text, Numeric)),
        (text == "true", literal(1)),
        (text == "false", literal(0)),
        else_=null(),
    )
    moment = case((text.regexp_match(_ISO), func.left(text, 19)), else_=null())
    return _compare(wanted, text=text, number=number, moment=moment)


def _compare_text(column: Any) -> Callable[[EventFilter], ColumnElement[bool]]:
    def compare(wanted: EventFilter) -> ColumnElement[bool]:
        if wanted.operator == "exists":
            return and_(column.is_not(None), column != "")
        if wanted.operator == "not exists":
            return or_(column.is_(None), column == "")
        number = case((column.regexp_match(_NUMBER), cast(column, Numeric)), else_=null())
        return _compare(wanted, text=column, number=number, moment=func.left(column, 19))

    return compare


def _compare_word(column: Any) -> Callable[[EventFilter], ColumnElement[bool]]:
    """A text whose index holds it in lower case."""
    compare_whole = _compare_text(column)

    def compare(wanted: EventFilter) -> ColumnElement[bool]:
        whole = compare_whole(wanted)
        if wanted.operator == "is" and wanted.type == "string" and isinstance(wanted.value, str):
            return and_(func.lower(column) == func.lower(wanted.value), whole)
        return whole

    return compare


def _compare_number(value: Any) -> Callable[[EventFilter], ColumnElement[bool]]:
    def compare(wanted: EventFilter) -> ColumnElement[bool]:
        if wanted.operator == "exists":
            return and_(true(), value.is_not(None))
        if wanted.operator == "not exists":
            return and_(true(), value.is_(None))
        return _compare(wanted, text=cast(value, _TEXT), number=value, moment=None)

    return compare


def _compare_time(column: Any) -> Callable[[EventFilter], ColumnElement[bool]]:
    def compare(wanted: EventFilter) -> ColumnElement[bool]:
        if wanted.operator in ("exists", "not exists"):
            return and_(true(), column.is_not(None) if wanted.operator == "exists" else column.is_(None))
        limit = parse_instant_ns(wanted.value)
        if wanted.operator in ("after", "greater than"):
            return and_(true(), column > limit)
        if wanted.operator in ("before", "less than"):
            return and_(true(), column < limit)
        if wanted.operator in ("is", "is not"):
            same = func.coalesce(column == limit, False)
            return and_(true(), same if wanted.operator == "is" else not_(same))
        raise _invalid(f"A time cannot be compared by {wanted.operator}.")

    return compare


def _compare_id(
    uid: Any, own: Any, *, is_made_of_text: bool = False
) -> Callable[[EventFilter], ColumnElement[bool]]:
    """Ids are looked up by their uid; only ids that are no UUID have a text of their own.

    ``is_made_of_text`` says that the uid always follows from the text, so that it alone decides.
    """
    text = func.coalesce(own, cast(uid, _TEXT))

    def compare(wanted: EventFilter) -> ColumnElement[bool]:
        if wanted.operator in ("is", "is not") and isinstance(wanted.value, str):
            found = uid == UUID(compute_uid(wanted.value))
            if not is_made_of_text:
                found = or_(found, own == wanted.value)
            return and_(true(), found if wanted.operator == "is" else not_(found))
        return _compare_text(text)(wanted)

    return compare


def _compare(wanted: EventFilter, *, text: Any, number: Any, moment: Any) -> ColumnElement[bool]:
    operator, value = wanted.operator, wanted.value
    if operator in ("is", "is not"):
        if value is None:
            same: ColumnElement[bool] = text.is_(None)
        elif wanted.type == "number":
            same = number == _read_number(value)
        elif wanted.type == "boolean":
            same = text == ("true" if _read_boolean(value) else "false")
        elif wanted.type == "datetime" and moment is not None:
            same = moment == _show_instant(value)
        else:
            same = text == _show(value)
        # All conditions are joined by AND, where unknown is as good as false, and an index can be used.
        return same if operator == "is" else not_(func.coalesce(same, False))
    if operator in ("contains", "not contains"):
        found = func.coalesce(func.strpos(text, _show(value)) > 0, False)
        return found if operator == "contains" else not_(found)
    is_above = operator in ("greater than", "after")
    if (wanted.type == "datetime" or operator in ("after", "before")) and moment is not None:
        limit = _show_instant(value)
        return func.coalesce(moment > limit if is_above else moment < limit, False)
    bound = _read_number(value)
    passes: ColumnElement[bool] = func.coalesce(number > bound if is_above else number < bound, False)
    return passes


def _show(value: str | float | bool | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _read_number(value: str | float | bool | None) -> Any:
    text = _show(value)
    if isinstance(value, bool):
        return int(value)
    if not re.fullmatch(_NUMBER, text.strip()):
        raise _invalid(f"{text[:40]!r} is not a number.")
    return cast(literal(text.strip()), Numeric)


def _read_boolean(value: str | float | bool | None) -> bool:
    text = _show(value).lower()
    if text not in ("true", "false"):
        raise _invalid(f"{text[:40]!r} is neither true nor false.")
    return text == "true"


def _show_instant(value: str | float | bool | None) -> str:
    instant = datetime.fromtimestamp(parse_instant_ns(value) / 1e9, UTC)
    return instant.strftime("%Y-%m-%dT%H:%M:%S")


def parse_instant_ns(value: object) -> int:
    """Return nanoseconds since 1970 of an ISO 8601 text, or of milliseconds as number or text.

    Raises:
        InvalidInput: It is neither.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 9e12:
        return int(value * NS_PER_MS)
    if isinstance(value, str):
        try:
            if re.fullmatch(r"\d{1,13}(\.\d+)?", value):
                return int(float(value) * NS_PER_MS)
            instant = datetime.fromisoformat(value.strip())
            if instant.tzinfo is None:
                instant = instant.replace(tzinfo=UTC)
            return int(instant.timestamp() * 1_000_000) * 1_000
        except (ValueError, OverflowError):
            pass
    raise _invalid(f"{str(value)[:40]!r} is not an instant: ISO 8601 or milliseconds since 1970.")


_TEXT: Final = SpanRow.event_name.type

_OWN: Final[dict[str, Callable[[EventFilter], ColumnElement[bool]]]] = {
    "event_id": _compare_id(SpanRow.span_uid, SpanRow.event_id),
    "session_id": _compare_id(SpanRow.session_uid, SessionRow.session_id, is_made_of_text=True),
    "parent_id": _compare_id(func.coalesce(SpanRow.parent_uid, SpanRow.session_uid), SpanRow.parent_event_id),
    "event_type": _compare_text(SpanRow.event_type),
    "event_name": _compare_text(SpanRow.event_name),
    "source": _compare_text(SpanRow.source),
    "error": _compare_text(SpanRow.error),
    "model": _compare_word(SpanRow.model),
    "provider": _compare_text(SpanRow.provider),
    "user_id": _compare_word(SpanRow.user_id),
    "project_id": _compare_text(cast(SpanRow.project_id, _TEXT)),
    "start_time": _compare_time(SpanRow.start_ns),
    "end_time": _compare_time(SpanRow.end_ns),
    "duration": _compare_number((SpanRow.end_ns - SpanRow.start_ns) / cast(NS_PER_MS, Numeric)),
    "total_tokens": _compare_number(SpanRow.total_tokens),
    "cost": _compare_number(SpanRow.cost_usd),
}
_LINEAGE: Final[dict[str, Callable[[EventFilter], ColumnElement[bool]]]] = {
    "trace_id": _compare_text(func.replace(cast(SpanRow.trace_id, _TEXT), "-", "")),
    "span_id": _compare_text(func.encode(SpanRow.span_id, "hex")),
    "parent_span_id": _compare_text(func.encode(SpanRow.parent_span_id, "hex")),
}
"""What events show under metadata without storing it there."""


def build_conditions(filters: Sequence[EventFilter]) -> list[ColumnElement[bool]]:
    """Return all filters in SQL."""
    return [build_condition(wanted) for wanted in filters]
