"""A span or event on its way into the table, and its line for COPY."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson

from referee.core.findings import JsonValue
from referee.traces.identity import (
    MAX_ID_CHARACTERS,
    compute_span_uid,
    compute_uid,
    format_uid,
    show_id,
)
from referee.traces.mapping import MAPPING_VERSION, MappedSpan, map_span
from referee.traces.otlp.spans import DecodedSpan, Resource
from referee.traces.tables import SpanRow

__all__ = [
    "COLUMNS",
    "NewSpan",
    "build_span",
    "dump_json",
    "identify_resource",
    "read_back",
    "render_line",
    "settle_content",
]

COLUMNS: Final = (
    "project_id",
    "span_uid",
    "session_uid",
    "trace_id",
    "parent_uid",
    "start_ns",
    "end_ns",
    "total_tokens",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "batch_id",
    "resource_id",
    "batch_position",
    "status",
    "kind",
    "mapping_version",
    "span_id",
    "parent_span_id",
    "event_type",
    "event_name",
    "source",
    "event_id",
    "parent_event_id",
    "error",
    "model",
    "provider",
    "user_id",
    "inputs_json",
    "outputs_json",
    "config_json",
    "metadata_json",
    "metrics_json",
    "feedback_json",
    "user_properties_json",
    "span_events_json",
    "links_json",
    "children_ids_json",
    "is_counted",
)
"""In the order of ``render_line``."""
MAX_NAME_CHARACTERS: Final = 2_000
_NULL: Final = b"\\N"
_EMPTY: Final = b"{}"
_NOTHING: Final[dict[str, JsonValue]] = {}


@dataclass(slots=True)
class NewSpan:
    """One row to be. ``project_id`` and all uids are 32 hexadecimal digits."""

    project_id: str
    span_uid: str
    session_uid: str
    session_id: str | None
    """Text of the session's id when it is not that of its uid."""
    start_ns: int
    end_ns: int | None
    mapped: MappedSpan
    trace_uid: str | None = None
    parent_uid: str | None = None
    parent_event_id: str | None = None
    event_id: str | None = None
    """Text of the event's id when it is not that of the uid."""
    span_id: bytes | None = None
    parent_span_id: bytes | None = None
    status: int = 0
    kind: int = 0
    batch_id: str | None = None
    batch_position: int | None = None
    resource_id: str | None = None
    span_events: list[JsonValue] | None = None
    links: list[JsonValue] | None = None
    children_ids: list[str] | None = None
    is_counted: bool = True
    content: bytes | None = None
    """Its line without the last column, once ``settle_content`` has been called."""

    @property
    def has_numbers(self) -> bool:
        """Whether it reports tokens or cost."""
        return self.mapped.total_tokens is not None or self.mapped.cost_usd is not None

    @property
    def shown_id(self) -> str:
        """The id of its event, as text."""
        return self.event_id if self.event_id is not None else format_uid(self.span_uid)

    @property
    def event_uid(self) -> str:
        """The uid that its event's id leads to."""
        return self.span_uid if self.event_id is None else compute_uid(self.event_id)


def build_span(
    span: DecodedSpan,
    project_id: str,
    batch_id: str,
    resource_ids: dict[int, str],
    find_cost: Callable[[MappedSpan], float | None],
) -> NewSpan:
    """Return the row of a decoded span.

    Args:
        span: As it was sent.
        project_id: Whose it is.
        batch_id: The request it came with.
        resource_ids: Uid by the identity of the shared resource object.
        find_cost: What tokens cost when the span does not say.
    """
    mapped = map_span(span)
    if mapped.cost_usd is None and mapped.total_tokens is not None:
        mapped.cost_usd = find_cost(mapped)
    trace_uid = span.trace_id.hex()
    session_id = _read_session_id(mapped, trace_uid)
    session_uid = compute_uid(session_id) if session_id is not None else trace_uid
    span_uid = compute_span_uid(span.trace_id, span.span_id)
    event_id = mapped.event_id[:MAX_ID_CHARACTERS] if mapped.event_id else None
    row = NewSpan(
        project_id,
        span_uid,
        session_uid,
        None if session_id is None else show_id(session_id, session_uid),
        span.start_ns,
        span.end_ns,
        mapped,
        trace_uid=trace_uid,
        event_id=None if event_id is None else show_id(event_id, span_uid),
        span_id=span.span_id,
        parent_span_id=span.parent_span_id or None,
        status=span.status,
        kind=span.kind,
        batch_id=batch_id,
        batch_position=span.position,
        resource_id=resource_ids[id(span.resource)],
        span_events=span.events,
        links=span.links,
    )
    if mapped.parent_id is not None:
        parent_id = mapped.parent_id[:MAX_ID_CHARACTERS]
        row.parent_uid = compute_uid(parent_id)
        row.parent_event_id = show_id(parent_id, row.parent_uid)
        if row.parent_uid == session_uid:
            row.parent_uid = row.parent_event_id = None
    if row.parent_uid is None and span.parent_span_id:
        row.parent_uid = compute_span_uid(span.trace_id, span.parent_span_id)
    return row


def _read_session_id(mapped: MappedSpan, trace_uid: str) -> str | None:
    """Return the session a span names, a UUID in lower case; None for its own trace."""
    text = mapped.session_id
    if not text:
        return None
    text = text[:MAX_ID_CHARACTERS]
    lowered = text.lower()
    return lowered if len(text) == 36 and show_id(lowered, compute_uid(lowered)) is None else text


def read_back(row: SpanRow) -> NewSpan:
    """Return of a stored row what sums are made of, and nothing more."""
    mapped = MappedSpan(
        event_type=row.event_type,
        event_name=row.event_name,
        feedback=row.feedback_json,
        error=row.error,
        model=row.model,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        total_tokens=row.total_tokens,
        cost_usd=row.cost_usd,
    )
    return NewSpan(
        row.project_id.hex,
        row.span_uid.hex,
        row.session_uid.hex,
        None,
        row.start_ns,
        row.end_ns,
        mapped,
        parent_uid=None if row.parent_uid is None else row.parent_uid.hex,
        is_counted=row.is_counted,
    )


def identify_resource(shared: Resource) -> str:
    """Return the uid of a resource and scope, made of their content."""
    content = json.dumps([shared.resource, shared.scope], sort_keys=True, ensure_ascii=True)
    return compute_uid(content)


def dump_json(value: object) -> bytes:
    """Return JSON text; integers of any size are kept."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def settle_content(span: NewSpan) -> None:
    """Render what no longer changes, and let go of the values it was made of.

    A request holds tens of thousands of small objects; the sooner they go the less there is to look
    through for garbage and to keep in memory while the request waits for its commit.
    """
    span.content = _render_content(span)
    mapped = span.mapped
    mapped.inputs = mapped.outputs = mapped.config = mapped.metadata = _NOTHING
    mapped.metrics = mapped.user_properties = _NOTHING
    span.span_events = span.links = None


def render_line(span: NewSpan) -> bytes:
    """Return the row as a line of COPY's text form, in the order of ``COLUMNS``."""
    content = span.content if span.content is not None else _render_content(span)
    return content + (b"\tt\n" if span.is_counted else b"\tf\n")


def _render_content(span: NewSpan) -> bytes:
    """Return all columns but the last: whether its tokens count is known only beside its relatives."""
    mapped = span.mapped
    return b"\t".join(
        (
            span.project_id.encode(),
            span.span_uid.encode(),
            span.session_uid.encode(),
            span.trace_uid.encode() if span.trace_uid else _NULL,
            span.parent_uid.encode() if span.parent_uid else _NULL,
            b"%d" % span.start_ns,
            b"%d" % span.end_ns if span.end_ns is not None else _NULL,
            _number(mapped.total_tokens),
            _number(mapped.prompt_tokens),
            _number(mapped.completion_tokens),
            repr(mapped.cost_usd).encode() if mapped.cost_usd is not None else _NULL,
            span.batch_id.encode() if span.batch_id else _NULL,
            span.resource_id.encode() if span.resource_id else _NULL,
            _number(span.batch_position),
            b"%d" % span.status,
            b"%d" % span.kind,
            b"%d" % MAPPING_VERSION,
            b"\\\\x" + span.span_id.hex().encode() if span.span_id else _NULL,
            b"\\\\x" + span.parent_span_id.hex().encode() if span.parent_span_id else _NULL,
            mapped.event_type.encode(),
            _text(mapped.event_name[:MAX_NAME_CHARACTERS]),
            _text(mapped.source[:MAX_NAME_CHARACTERS]),
            _text(span.event_id),
            _text(span.parent_event_id),
            _text(mapped.error),
            _text(mapped.model),
            _text(mapped.provider),
            _text(mapped.user_id),
            _json(mapped.inputs),
            _json(mapped.outputs),
            _json(mapped.config),
            _json(mapped.metadata),
            _json(mapped.metrics),
            _json(mapped.feedback),
            _json(mapped.user_properties),
            _json(span.span_events) if span.span_events else _NULL,
            _json(span.links) if span.links else _NULL,
            _json(span.children_ids) if span.children_ids else _NULL,
        )
    )


def _number(value: int | None) -> bytes:
    return _NULL if value is None else b"%d" % value


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    data = value.encode("utf-8", "replace")
    if b"\\" in data:
        data = data.replace(b"\\", b"\\\\")
    if b"\n" in data or b"\t" in data or b"\r" in data:
        data = data.replace(b"\n", b"\\n").replace(b"\t", b"\\t").replace(b"\r", b"\\r")
    return data


def _json(value: object) -> bytes:
    if not value:
        return _EMPTY
    data = dump_json(value)
    return data.replace(b"\\", b"\\\\") if b"\\" in data else data
