"""OTLP in protobuf.

The fast way parses the whole request at once. When that fails, because one
string is not UTF-8 or one value is nested too deeply, the request is taken
apart by its wire format and each span is parsed by itself, so that one bad span
does not cost its neighbours.

Source:
    OTLP specification 1.9; Protocol Buffers encoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.traces.otlp.messages import ExportRequest, FastSpan, KeyValue, read_attributes
from referee.traces.otlp.spans import (
    DecodedRequest,
    DecodedSpan,
    Rejection,
    Resource,
    check_span,
    clean_number,
    clean_text,
)

__all__ = ["SCHEMA", "decode_protobuf"]

SCHEMA: Final = "otlp.traces.protobuf"
_Known: TypeAlias = dict[bytes, tuple[str, JsonValue]]
"""Attributes as they are written, and what they say."""
_MAX_DEPTH: Final = 64
"""Levels of lists and maps inside one value; what lies deeper becomes a mark."""


def decode_protobuf(body: bytes) -> DecodedRequest:
    """Return the spans of a request.

    Raises:
        InvalidInput: It is not protobuf at all.
    """
    rejection = Rejection()
    spans: list[DecodedSpan] = []
    request = ExportRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        _decode_apart(body, spans, rejection)
        return DecodedRequest(spans, rejection, SCHEMA, body)
    position = 0
    known: _Known = {}
    for of_resource in request.resource_spans:
        resource = _read_resource(of_resource.resource, of_resource.schema_url)
        for of_scope in of_resource.scope_spans:
            shared = Resource(resource, _read_scope(of_scope.scope, of_scope.schema_url))
            for message in of_scope.spans:
                _take(message, position, shared, spans, rejection, known)
                position += 1
    return DecodedRequest(spans, rejection, SCHEMA, body)


def _take(
    message: Any,
    position: int,
    shared: Resource,
    spans: list[DecodedSpan],
    rejection: Rejection,
    known: _Known,
) -> None:
    try:
        span = _read_span(message, position, shared, known)
    except (DecodeError, UnicodeDecodeError):
        rejection.add(_DAMAGED)
        return
    reason = check_span(span)
    if reason is None:
        spans.append(span)
    else:
        rejection.add(f"A span has {reason}")


_DAMAGED: Final = "A span is not valid protobuf: text that is not UTF-8, nesting too deep, or damage"
_STATUSES: Final = {b"": (0, ""), b"\x18\x01": (1, "")}
"""What nearly all spans have."""


def _read_span(message: Any, position: int, shared: Resource, known: _Known) -> DecodedSpan:
    """Return what a message says.

    Raises:
        DecodeError: An attribute or the status is damaged.
        UnicodeDecodeError: A text is not UTF-8.
    """
    status, status_message = _STATUSES.get(message.status) or _read_status(message.status)
    name, kind = message.name, message.kind
    span = DecodedSpan(
        position,
        shared,
        message.trace_id,
        message.span_id,
        message.parent_span_id,
        clean_text(name) if "\x00" in name else name,
        min(kind, 5) if kind > 0 else 0,
        message.start_time_unix_nano,
        message.end_time_unix_nano,
        read_attributes(message.attributes, _read_other, known),
        status,
        status_message,
    )
    if message.events:
        span.events = [_read_event(event) for event in message.events]
    if message.links:
        span.links = [_read_link(link) for link in message.links]
    if (
        message.flags
        or message.trace_state
        or message.dropped_attributes_count
        or message.dropped_events_count
        or message.dropped_links_count
    ):
        span.extras = _drop_zeros(
            trace_state=clean_text(message.trace_state),
            flags=message.flags,
            dropped_attributes_count=message.dropped_attributes_count,
            dropped_events_count=message.dropped_events_count,
            dropped_links_count=message.dropped_links_count,
        )
    return span


def _read_status(data: bytes) -> tuple[int, str]:
    status = Status.FromString(data)
    return status.code if 0 <= status.code <= 2 else 0, clean_text(status.message)


def _read_other(data: bytes) -> tuple[str, JsonValue]:
    """Return key and value of an attribute of any kind."""
    pair = KeyValue.FromString(data)
    return clean_text(pair.key), _read_value(pair.value, pair.value.WhichOneof("value"), 0)


def _drop_zeros(**values: JsonValue) -> dict[str, JsonValue]:
    return {name: value for name, value in values.items() if value}


def _read_event(event: Any) -> JsonValue:
    return {
        "name": clean_text(event.name),
        "time_ns": event.time_unix_nano,
        "attributes": _read_attributes(event.attributes),
        **_drop_zeros(dropped_attributes_count=event.dropped_attributes_count),
    }


def _read_link(link: Any) -> JsonValue:
    return {
        "trace_id": link.trace_id.hex(),
        "span_id": link.span_id.hex(),
        "attributes": _read_attributes(link.attributes),
        **_drop_zeros(
            trace_state=clean_text(link.trace_state),
            flags=link.flags,
            dropped_attributes_count=link.dropped_attributes_count,
        ),
    }


def _read_resource(message: Any, schema_url: str) -> dict[str, JsonValue]:
    return {
        "attributes": _read_attributes(message.attributes),
        **_drop_zeros(
            schema_url=clean_text(schema_url), dropped_attributes_count=message.dropped_attributes_count
        ),
    }


def _read_scope(message: Any, schema_url: str) -> dict[str, JsonValue]:
    return {
        "name": clean_text(message.name),
        "version": clean_text(message.version),
        "attributes": _read_attributes(message.attributes),
        **_drop_zeros(
            schema_url=clean_text(schema_url), dropped_attributes_count=message.dropped_attributes_count
        ),
    }


def _read_attributes(pairs: Sequence[Any]) -> dict[str, JsonValue]:
    attributes: dict[str, JsonValue] = {}
    for pair in pairs:
        value = pair.value
        which = value.WhichOneof("value")
        key = pair.key
        if "\x00" in key:
            key = clean_text(key)
        if which == "string_value":
            text = value.string_value
            attributes[key] = text.replace("\x00", "�") if "\x00" in text else text
        elif which == "int_value":
            attributes[key] = value.int_value
        else:
            attributes[key] = _read_value(value, which, 0)
    return attributes


def _read_value(value: Any, which: str | None, depth: int) -> JsonValue:
    if which is None:
        return None
    if which == "string_value":
        return clean_text(value.string_value)
    if which == "double_value":
        return clean_number(value.double_value)
    if which in ("int_value", "bool_value"):
        plain: JsonValue = getattr(value, which)
        return plain
    if which == "bytes_value":
        return {"bytes_hex": value.bytes_value.hex()}
    if depth >= _MAX_DEPTH:
        return "(nested deeper than this; the request as it came has it)"
    if which == "array_value":
        return [_read_value(item, item.WhichOneof("value"), depth + 1) for item in value.array_value.values]
    if which == "kvlist_value":
        return {
            clean_text(pair.key): _read_value(pair.value, pair.value.WhichOneof("value"), depth + 1)
            for pair in value.kvlist_value.values
        }
    return None


# The slow way: the request's own wire format, one span at a time.

_RESOURCE_SPANS: Final = 1
_RESOURCE, _SCOPE_SPANS, _RESOURCE_SCHEMA = 1, 2, 3
_SCOPE, _SPANS, _SCOPE_SCHEMA = 1, 2, 3


def _decode_apart(body: bytes, spans: list[DecodedSpan], rejection: Rejection) -> None:
    """Take a request apart, and refuse only the spans that cannot be parsed."""
    position = 0
    for _, of_resource in _list_fields(body, {_RESOURCE_SPANS}):
        parts = list(_list_fields(of_resource, {_RESOURCE, _SCOPE_SPANS, _RESOURCE_SCHEMA}))
        resource = _parse_or(ResourceMessage(), parts, _RESOURCE)
        for number, of_scope in parts:
            if number != _SCOPE_SPANS:
                continue
            inner = list(_list_fields(of_scope, {_SCOPE, _SPANS, _SCOPE_SCHEMA}))
            shared = Resource(
                _read_resource(resource, _read_schema(parts, _RESOURCE_SCHEMA)),
                _read_scope(
                    _parse_or(InstrumentationScope(), inner, _SCOPE), _read_schema(inner, _SCOPE_SCHEMA)
                ),
            )
            for inner_number, data in inner:
                if inner_number != _SPANS:
                    continue
                _take_apart(data, position, shared, spans, rejection)
                position += 1


def _take_apart(
    data: bytes, position: int, shared: Resource, spans: list[DecodedSpan], rejection: Rejection
) -> None:
    message = FastSpan()
    try:
        message.ParseFromString(data)
    except DecodeError:
        rejection.add(_DAMAGED)
        return
    _take(message, position, shared, spans, rejection, {})


def _parse_or(message: Any, parts: list[tuple[int, bytes]], number: int) -> Any:
    """Return ``message`` filled from the field of that number; empty when that cannot be parsed."""
    for found, data in parts:
        if found == number:
            try:
                message.ParseFromString(data)
            except DecodeError:
                message.Clear()
    return message


def _read_schema(parts: list[tuple[int, bytes]], number: int) -> str:
    return next((data.decode("utf-8", "replace") for found, data in parts if found == number), "")


def _list_fields(data: bytes, wanted: set[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the length-delimited fields of a message.

    Raises:
        InvalidInput: It is not protobuf.
    """
    position, end = 0, len(data)
    while position < end:
        tag, position = _read_varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise _not_protobuf()
        if wire_type == 2:
            size, position = _read_varint(data, position)
            if position + size > end:
                raise _not_protobuf()
            if number in wanted:
                yield number, data[position : position + size]
            position += size
        elif wire_type == 0:
            _, position = _read_varint(data, position)
        elif wire_type in (1, 5):
            position += 8 if wire_type == 1 else 4
            if position > end:
                raise _not_protobuf()
        else:
            raise _not_protobuf()


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise _not_protobuf()
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7


def _not_protobuf() -> InvalidInput:
    return InvalidInput(
        "traces.protobuf_malformed",
        "The body is not an OTLP trace request in protobuf.",
        "Send ExportTraceServiceRequest, or JSON with Content-Type: application/json.",
    )
