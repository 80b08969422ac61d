"""A span as it was sent, whatever it was written in."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from referee.core.findings import JsonValue

__all__ = [
    "MAX_BODY_BYTES",
    "ZSTD_LEVEL",
    "DecodedRequest",
    "DecodedSpan",
    "Rejection",
    "Resource",
    "check_span",
    "clean_number",
    "clean_text",
]

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Of one request, after decompression."""
ZSTD_LEVEL: Final = 1
"""At which bodies are kept."""
MAX_REASONS: Final = 5
"""Reasons that an answer names; the count goes on."""
MIN_NS: Final = 0
MAX_NS: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Resource:
    """What spans of one process and one instrumentation have in common."""

    resource: dict[str, JsonValue]
    scope: dict[str, JsonValue]


@dataclass(slots=True)
class DecodedSpan:
    """One span. Ids are raw bytes, times nanoseconds since 1970."""

    position: int
    """Which span of the request, from 0, rejected ones counted."""
    resource: Resource
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    """Empty for a root."""
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: dict[str, JsonValue]
    status: int
    status_message: str
    events: list[JsonValue] | None = None
    links: list[JsonValue] | None = None
    extras: dict[str, JsonValue] | None = None
    """trace_state, flags and dropped counts, where they are not zero."""


@dataclass(slots=True)
class Rejection:
    """Spans that could not be taken, and why."""

    count: int = 0
    reasons: list[str] = field(default_factory=list)

    def add(self, reason: str, count: int = 1) -> None:
        """Count spans that were refused."""
        self.count += count
        if reason not in self.reasons and len(self.reasons) < MAX_REASONS:
            self.reasons.append(reason)


@dataclass(slots=True)
class DecodedRequest:
    """What one export request holds."""

    spans: list[DecodedSpan]
    rejection: Rejection
    schema: str
    """``otlp.traces.protobuf`` or ``otlp.traces.json``."""
    body: bytes
    """As it came, after decompression."""


def check_span(span: DecodedSpan) -> str | None:
    """Return why a span cannot be stored; None when it can.

    Source:
        OpenTelemetry specification, trace API: ids of all zeros are invalid.
    """
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return "a trace id that is not 16 bytes with at least one bit set"
    if len(span.span_id) != 8 or not any(span.span_id):
        return "a span id that is not 8 bytes with at least one bit set"
    if span.parent_span_id and len(span.parent_span_id) != 8:
        return "a parent span id that is not 8 bytes"
    if not (MIN_NS <= span.start_ns <= MAX_NS and MIN_NS <= span.end_ns <= MAX_NS):
        return "a time beyond what 63 bits of nanoseconds hold"
    return None


def clean_text(text: str) -> str:
    """Return ``text`` as the database can keep it: NUL and half surrogate pairs become U+FFFD.

    The body as it came keeps them.
    """
    if "\x00" in text:
        text = text.replace("\x00", "�")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def clean_number(number: float) -> JsonValue:
    """Return a number as JSON can say it: NaN and the infinities as their names."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")
