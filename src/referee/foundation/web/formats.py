"""How values look to people: times, sizes, durations, counts, shares, ids and hostile text.

Pure functions from a value to a short string; the templates use them as
filters, the command line may use them as they are. Text that came from an app,
a tool or a file name passes through ``show_text`` so that nobody is fooled by
an escape sequence or a direction override.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = [
    "format_bytes",
    "format_count",
    "format_duration",
    "format_heading",
    "format_instant",
    "format_milliseconds",
    "format_number",
    "format_period",
    "format_relative",
    "format_share",
    "format_words",
    "shorten_id",
    "show_text",
    "truncate_text",
]

UNKNOWN: Final = "unknown"
"""What stands where a value is not known: a word, never an empty cell that reads as zero."""

_ABBREVIATIONS: Final = {"ai": "AI"}

_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def show_text(text: str) -> str:
    """Return ``text`` with every character that hides or reorders others made visible.

    Each one is named: an escape becomes ``⟨U+001B⟩``. Newlines and tabs stay: markup decides what they do. Joiners
    (U+200C, U+200D) stay too, since scripts and emoji need them.
    """
    return _HOSTILE.sub(_show_character, text)


def _show_character(match: re.Match[str]) -> str:
    return f"⟨U+{ord(match.group()):04X}⟩"


def truncate_text(text: str, max_chars_count: int = 120) -> str:
    """Return at most ``max_chars_count`` visible characters, the last one ``…`` when cut."""
    shown = show_text(text)
    return shown if len(shown) <= max_chars_count else shown[: max_chars_count - 1].rstrip() + "…"


def format_count(value: int | None) -> str:
    """Return a whole number with thousands separators."""
    return UNKNOWN if value is None else f"{value:,}"


def format_number(value: float | None, digits: int = 3) -> str:
    """Return a number with separators and at most ``digits`` decimals, no trailing zeros."""
    if value is None:
        return UNKNOWN
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_share(value: float | None, digits: int = 1) -> str:
    """Return a share (0–1) as percent. Never rounds a share below 1 up to 100 %."""
    if value is None:
        return UNKNOWN
    percent = value * 100
    step = 10.0**-digits
    rounded = round(percent, digits)
    if rounded >= 100 > percent:
        rounded = 100 - step
    elif rounded <= 0 < percent:
        return f"<{step:.{digits}f} %"
    return f"{rounded:.{digits}f} %"


def format_bytes(value: int | None) -> str:
    """Return a size in binary units: ``812 bytes``, ``1.5 KiB``, ``32 MiB``."""
    if value is None:
        return UNKNOWN
    if value < 1024:
        return f"{value} byte{'' if value == 1 else 's'}"
    power = min(4, (value.bit_length() - 1) // 10)
    unit = ("KiB", "MiB", "GiB", "TiB")[power - 1]
    return f"{value / 1024**power:.1f}".removesuffix(".0") + f" {unit}"


def format_duration(value: float | timedelta | None) -> str:
    """Return a duration given in seconds, with its units.

    ``0.34`` is ``340 ms``, ``12.34`` is ``12.3 s``, ``125`` is ``2 min 05 s``,
    ``11520`` is ``3 h 12 min``, ``187200`` is ``2 d 4 h``.
    """
    if value is None:
        return UNKNOWN
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 0:
        return "−" + format_duration(-seconds)
    if seconds < 0.9995:
        milliseconds = seconds * 1000
        return f"{milliseconds:.1f} ms" if 0 < milliseconds < 9.95 else f"{milliseconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24:,} d {hours % 24} h"


def format_period(value: float) -> str:
    """Return a duration that somebody has set, in seconds, without a rest of nothing: ``120`` is ``2 min``."""
    return format_duration(value).removesuffix(" 00 s").removesuffix(" 00 min").removesuffix(" 0 h")


def format_milliseconds(value: float | None) -> str:
    """Return a duration given in milliseconds, as ``format_duration`` does."""
    return UNKNOWN if value is None else format_duration(value / 1000)


def format_instant(value: datetime | None) -> str:
    """Return an instant as ``2026-03-01 14:05:09 UTC``."""
    return UNKNOWN if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def format_relative(value: datetime | None, now: datetime) -> str:
    """Return how far ``value`` is from ``now``: ``just now``, ``5 min ago``, ``in 2 h``.

    Beyond 30 days the date itself says more, so it is returned instead.
    """
    if value is None:
        return UNKNOWN
    seconds = (now - value).total_seconds()
    distance = abs(seconds)
    if distance < 10:
        return "just now"
    if distance >= 30 * 86_400:
        return value.astimezone(UTC).strftime("%Y-%m-%d")
    scale = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    size, unit = next((size, unit) for size, unit in scale if distance >= size)
    amount = f"{int(distance // size)} {unit}"
    return f"{amount} ago" if seconds > 0 else f"in {amount}"


def format_words(value: str) -> str:
    """Return a stored lower_snake word as people read it: ``timed_out`` is ``timed out``, ``ai`` is ``AI``."""
    return _ABBREVIATIONS.get(value) or value.replace("_", " ")


def format_heading(value: str) -> str:
    """Return words as they begin a sentence: only the first letter changes, so ``AI`` stays as it is."""
    return value[:1].upper() + value[1:]


def shorten_id(value: object, digits_count: int = 8) -> str:
    """Return the last digits of an id.

    A UUIDv7 begins with its time, so ids of one hour share their first digits; the
    last ones tell them apart.
    """
    text = getattr(value, "hex", None) or str(value)
    return text if len(text) <= digits_count + 4 else text[-digits_count:]
