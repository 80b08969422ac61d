"""Parameters of run routes as clients write them: lists, ranges of dates and filters in a query."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeAlias

from fastapi import Query

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.experiments.runs.definitions import read_number
from referee.foundation.web.client_values import MAX_QUERY_CHARACTERS, parse_query_value
from referee.traces import EventFilter, parse_event_filters

__all__ = [
    "AggregateParameter",
    "DateRange",
    "DateRangeParameter",
    "FiltersParameter",
    "OldFiltersParameter",
    "parse_date_range",
    "read_filters",
]

MAX_FILTERS_COUNT: Final = 50
_RELATIVE: Final = re.compile(r"(?:last_?)?(\d{1,5})\s*(m|h|d|w|mo|y)", re.IGNORECASE)
_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "mo": timedelta(days=30),
    "y": timedelta(days=365),
}
_START_KEYS: Final = ("$gte", "gte", "start_time", "start")
_END_KEYS: Final = ("$lte", "lte", "end_time", "end")

DateRangeParameter: TypeAlias = Annotated[
    str | None,
    Query(
        alias="dateRange",
        max_length=MAX_QUERY_CHARACTERS,
        description='JSON or Python text: {"$gte": …, "$lte": …} with ISO instants or ms, or {"relative": "7d"}.',
    ),
]
AggregateParameter: TypeAlias = Annotated[
    str | None,
    Query(
        max_length=40,
        description="average (default), sum, min, max, median, p90, p95, p99 or count.",
    ),
]
FiltersParameter: TypeAlias = Annotated[
    list[str] | None,
    Query(
        alias="filters[]",
        max_length=MAX_FILTERS_COUNT,
        description="JSON or Python text of {field, operator, value, type}, once for each filter; all must match.",
    ),
]
OldFiltersParameter: TypeAlias = Annotated[
    list[str] | None, Query(alias="filters", max_length=MAX_FILTERS_COUNT, include_in_schema=False)
]


@dataclass(frozen=True, slots=True)
class DateRange:
    """From and to, both included; None: open."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def start_ms(self) -> float | None:
        """Milliseconds since the epoch."""
        return None if self.start is None else self.start.timestamp() * 1000

    @property
    def end_ms(self) -> float | None:
        """Milliseconds since the epoch."""
        return None if self.end is None else self.end.timestamp() * 1000

    def holds_ms(self, instant_ms: float | None) -> bool:
        """Return whether an instant lies in it; an unknown one lies only in a range without ends."""
        if instant_ms is None:
            return self.start is None and self.end is None
        is_late_enough = self.start_ms is None or instant_ms >= self.start_ms
        return is_late_enough and (self.end_ms is None or instant_ms <= self.end_ms)


def parse_date_range(text: str | None, now: datetime) -> DateRange:
    """Return the range in a query parameter.

    Args:
        text: JSON or Python text of an object, or a span before now such as ``7d``; None or empty: no ends.
        now: Aware UTC.

    Raises:
        InvalidInput: It cannot be understood.
    """
    if text is None or not text.strip():
        return DateRange()
    if (relative := _read_relative(text, now)) is not None:
        return relative
    value = parse_query_value(text, "dateRange")
    if isinstance(value, str):
        relative = _read_relative(value, now)
    elif isinstance(value, dict) and isinstance(value.get("relative"), str):
        relative = _read_relative(str(value["relative"]), now)
    if relative is not None:
        return relative
    if not isinstance(value, dict) or not {*_START_KEYS, *_END_KEYS} & value.keys():
        raise _invalid()
    return DateRange(_read_end(value, _START_KEYS), _read_end(value, _END_KEYS))


def read_filters(*lists: list[str] | None) -> list[EventFilter]:
    """Return the filters of a query: each parameter holds one or a list of them.

    Raises:
        InvalidInput: One cannot be understood, or there are too many.
    """
    found: list[JsonValue] = []
    for text in (text for one in lists for text in one or () if text.strip()):
        value = parse_query_value(text, "filters")
        found += value if isinstance(value, list) else [value]
    if len(found) > MAX_FILTERS_COUNT:
        raise InvalidInput(
            "run.filters_too_many",
            f"There are {len(found)} filters, and at most {MAX_FILTERS_COUNT} are taken.",
            "Ask with fewer.",
        )
    return parse_event_filters(found) if found else []


def _read_relative(text: str, now: datetime) -> DateRange | None:
    word = text.strip().strip("\"'").lower()
    if word in ("all", "all_time"):
        return DateRange()
    match = _RELATIVE.fullmatch(word)
    if match is None:
        return None
    return DateRange(now - int(match[1]) * _UNITS[match[2]])


def _read_end(value: dict[str, JsonValue], keys: tuple[str, ...]) -> datetime | None:
    raw = next((value[key] for key in keys if value.get(key) is not None), None)
    if raw is None:
        return None
    number = read_number(raw)
    try:
        if number is None and isinstance(raw, str):
            number = read_number(float(raw)) if raw.strip().replace(".", "", 1).isdigit() else None
        if number is not None:
            return datetime.fromtimestamp(number / 1000, UTC)
        moment = datetime.fromisoformat(str(raw))
    except (ValueError, OverflowError, OSError) as error:
        raise _invalid() from error
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:
        raise _invalid() from error


def _invalid() -> InvalidInput:
    return InvalidInput(
        "run.date_range_invalid",
        "The range of dates cannot be understood.",
        'Send {"$gte": "2026-01-01T00:00:00Z", "$lte": "2026-02-01T00:00:00Z"}, or {"relative": "7d"}.',
    )
