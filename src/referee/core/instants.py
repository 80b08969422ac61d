"""Instants as old logs wrote them: parsed, compared as instants, written in one form.

The one form is ``YYYY-MM-DDTHH:MM:SS.ffffffZ``: UTC, always 27 characters, so its order as text is its order
in time. Text without a zone is taken as UTC, which is what SQLite's ``CURRENT_TIMESTAMP`` writes.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

__all__ = ["UnreadableInstant", "parse_instant", "read_instant", "render_instant"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_DAY_US: Final = 86_400_000_000
_COMMON_MARKS: Final = frozenset(
    ("--T::.", "--T::Z", "--T::", "--T::+", "-- ::.", "-- ::Z", "-- ::", "-- ::+")
)
"""Characters 4, 7, 10, 13, 16 and 19 of the common forms."""
_MINUTES: Final = tuple(f"{minute // 60:02d}:{minute % 60:02d}" for minute in range(1440))
_MAX_SECONDS: Final = 10**11
"""Year 5138. A larger number counts milliseconds; 1,000 times that microseconds, then nanoseconds."""
_MAX_EPOCH: Final = 10**20
_MAX_CHARS: Final = 64
_FEWEST_EPOCH_DIGITS: Final = 9
"""Fewer digits are a date such as 20260131, or no instant at all."""


class UnreadableInstant(Exception):
    """A value that names no instant, or one of an absurd year.

    Args:
        reason: ``timestamp_unreadable`` or ``timestamp_absurd``.
        detail: The value, cut to what a person can read.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def render_instant(instant: datetime) -> str:
    """Return an aware instant in the one form."""
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def parse_instant(value: object, min_year: int = 2000, max_year: int = 2100) -> str:
    """Return a value as an instant in the one form.

    Args:
        value: ISO 8601 with or without a zone, with ``T`` or a space; or the time since 1970 in seconds,
            milliseconds, microseconds or nanoseconds (told apart by size), as a number or as text.
        min_year: Years before this one are absurd. UTC.
        max_year: Years after this one are absurd. UTC.

    Returns:
        27 characters. What is finer than a microsecond is cut off.

    Raises:
        UnreadableInstant: It is none of these, or its year is absurd.
    """
    if value.__class__ is str:
        return _parse_text(value, min_year, max_year)
    if isinstance(value, bytes):
        return _parse_text(value.decode("utf-8", "replace"), min_year, max_year)
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return _check_year(aware, str(value), min_year, max_year)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _parse_epoch(value, min_year, max_year)
    raise UnreadableInstant("timestamp_unreadable", _cut(value))


def read_instant(value: object) -> datetime:
    """Return a value as an aware UTC instant; which values, ``parse_instant`` says.

    Raises:
        UnreadableInstant: It is none, or its year is absurd.
    """
    return datetime.fromisoformat(parse_instant(value))


def _parse_text(text: str, min_year: int, max_year: int) -> str:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return _parse_odd_text(text, min_year, max_year)
    # The common forms hold their answer already; everything else is converted.
    if min_year < instant.year < max_year and text[4:20:3] in _COMMON_MARKS:
        length = len(text)
        if text[19:20] != ".":
            if length == 19 or (length == 20 and text[19] == "Z") or (length == 25 and text[19:] == "+00:00"):
                return f"{text[:10]}T{text[11:19]}.000000Z"
        elif (length == 26 or (length == 32 and text[26:] == "+00:00")) and text[20:26].isdigit():
            return f"{text[:10]}T{text[11:26]}Z"
        elif length == 27 and text[26] == "Z" and text[20:26].isdigit():
            return text if text[10] == "T" else f"{text[:10]}T{text[11:]}"
        elif length == 24 and text[23] == "Z":
            return f"{text[:10]}T{text[11:23]}000Z"
    if text.isascii() and text.isdigit() and len(text) >= _FEWEST_EPOCH_DIGITS:
        return _parse_epoch(int(text), min_year, max_year)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return _check_year(instant, text, min_year, max_year)


def _parse_odd_text(text: str, min_year: int, max_year: int) -> str:
    stripped = text.strip()
    if not stripped or len(stripped) > _MAX_CHARS or not stripped.isascii():
        raise UnreadableInstant("timestamp_unreadable", _cut(text))
    digits = stripped.removeprefix("-")
    whole, point, fraction = digits.partition(".")
    if whole.isdigit() and (not point or fraction.isdigit()) and len(whole) >= _FEWEST_EPOCH_DIGITS:
        return _parse_epoch(float(stripped) if point else int(stripped), min_year, max_year)
    # Lower-case designators, a space before the zone, and blanks around it are seen in logs.
    tidied = stripped.upper().removesuffix(" UTC").replace(" +", "+").replace(" -", "-")
    tidied = f"{tidied[:-2]}Z" if tidied.endswith(" Z") else tidied
    if tidied == text:
        raise UnreadableInstant("timestamp_unreadable", _cut(text))
    try:
        instant = datetime.fromisoformat(tidied)
    except ValueError as error:
        raise UnreadableInstant("timestamp_unreadable", _cut(text)) from error
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return _check_year(instant, text, min_year, max_year)


def _parse_epoch(value: float, min_year: int, max_year: int) -> str:
    size = abs(value)
    if not size < _MAX_EPOCH:  # also true for a number that is none
        raise UnreadableInstant("timestamp_absurd", _cut(value))
    # Whole numbers stay whole: a float holds no nanoseconds of our time.
    if size < _MAX_SECONDS:
        microseconds = value * 1_000_000
    elif size < _MAX_SECONDS * 1_000:
        microseconds = value * 1_000
    elif size < _MAX_SECONDS * 1_000_000:
        microseconds = value
    else:
        microseconds = value // 1_000
    return _render_microseconds(round(microseconds), value, min_year, max_year)


def _render_microseconds(microseconds: int, value: object, min_year: int, max_year: int) -> str:
    """Three times as fast as by way of a datetime, and half of all old timestamps are numbers."""
    day, rest = divmod(microseconds, _DAY_US)
    text = _render_day(day)
    if not text or not min_year <= int(text[:4]) <= max_year:
        raise UnreadableInstant("timestamp_absurd", _cut(value))
    minute, rest = divmod(rest, 60_000_000)
    second, rest = divmod(rest, 1_000_000)
    return f"{text}T{_MINUTES[minute]}:{second:02d}.{rest:06d}Z"


@lru_cache(maxsize=65_536)
def _render_day(day: int) -> str:
    """Return a day after 1970-01-01 as a date; empty when the calendar does not reach it."""
    try:
        return date.fromordinal(_EPOCH_ORDINAL + day).isoformat()
    except (ValueError, OverflowError):
        return ""


def _check_year(instant: datetime, value: object, min_year: int, max_year: int) -> str:
    return _render_microseconds((instant - _EPOCH) // _MICROSECOND, value, min_year, max_year)


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
