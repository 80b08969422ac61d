"""OTLP in JSON, as the specification has it and as clients write it.

Ids in hexadecimal or base64, enums by name or number, 64-bit integers as text
or number, names in lowerCamelCase or snake_case, null for what is absent.

Source:
    OTLP specification 1.9, "JSON Protobuf Encoding".
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.traces.otlp.spans import (
    DecodedRequest,
    DecodedSpan,
    Rejection,
    Resource,
    check_span,
    clean_number,
    clean_text,
)

__all__ = ["SCHEMA", "decode_json"]

SCHEMA: Final = "otlp.traces.json"
_MAX_DEPTH: Final = 64
_HEX: Final = re.compile(r"[0-9a-fA-F]*")
_KINDS: Final = {
    f"SPAN_KIND_{name}": number
    for number, name in enumerate(("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"))
}
_STATUSES: Final = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_MAX_INT: Final = 2**63


class _Malformed(ValueError):
    """One span, or a part of it, is not what OTLP says."""


def decode_json(body: bytes) -> DecodedRequest:
    """Return the spans of a request.

    Raises:
        InvalidInput: It is not JSON, nested without end, or not an object with ``resourceSpans``.
    """
    document = _load(body)
    if not isinstance(document, dict):
        raise _not_a_request("The body is not an object.")
    rejection = Rejection()
    spans: list[DecodedSpan] = []
    position = 0
    for of_resource in _list(document, "resourceSpans", "resource_spans", rejection):
        resource = _read_resource(of_resource)
        of_scopes = _list(of_resource, "scopeSpans", "scope_spans", rejection)
        for of_scope in of_scopes:
            shared = Resource(resource, _read_scope(of_scope))
            for raw in _list(of_scope, "spans", "spans", rejection, is_span=True):
                _take(raw, position, shared, spans, rejection)
                position += 1
    return DecodedRequest(spans, rejection, SCHEMA, body)


def _load(body: bytes) -> Any:
    """Parse JSON: quickly, or by the library that also takes NaN and half surrogate pairs."""
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        raise _not_a_request("The body is nested too deeply." if deep else "The body is not JSON.") from error


def _not_a_request(message: str) -> InvalidInput:
    return InvalidInput(
        "traces.json_malformed",
        message,
        "Send an OTLP trace request: an object with resourceSpans.",
    )


def _take(raw: Any, position: int, shared: Resource, spans: list[DecodedSpan], rejection: Rejection) -> None:
    try:
        span = _read_span(raw, position, shared)
    except _Malformed as error:
        rejection.add(f"A span has {error}")
        return
    reason = check_span(span)
    if reason is None:
        spans.append(span)
    else:
        rejection.add(f"A span has {reason}")


def _list(
    holder: Any, name: str, other_name: str, rejection: Rejection, *, is_span: bool = False
) -> list[Any]:
    """Return the list under a name; what is no list of objects is refused, and counted if it held spans."""
    if not isinstance(holder, dict):
        return []
    items = holder.get(name, holder.get(other_name))
    if items is None:
        return []
    if not isinstance(items, list):
        rejection.add(f"{name} is not a list")
        return []
    if is_span:
        return items
    kept = [item for item in items if isinstance(item, dict)]
    if len(kept) < len(items):
        rejection.add(f"An entry of {name} is not an object", len(items) - len(kept))
    return kept


def _get(raw: Mapping[str, Any], name: str, other_name: str) -> Any:
    value = raw.get(name)
    return raw.get(other_name) if value is None else value


def _read_span(raw: Any, position: int, shared: Resource) -> DecodedSpan:
    if not isinstance(raw, dict):
        raise _Malformed("a form that is not an object")
    status = raw.get("status")
    if not isinstance(status, dict):
        status = {}
    span = DecodedSpan(
        position,
        shared,
        _read_id(_get(raw, "traceId", "trace_id"), 16),
        _read_id(_get(raw, "spanId", "span_id"), 8),
        _read_id(_get(raw, "parentSpanId", "parent_span_id"), 8),
        _read_text(raw.get("name"), "name"),
        _read_enum(raw.get("kind"), _KINDS, 5),
        _read_int(_get(raw, "startTimeUnixNano", "start_time_unix_nano"), "start time"),
        _read_int(_get(raw, "endTimeUnixNano", "end_time_unix_nano"), "end time"),
        _read_attributes(raw.get("attributes")),
        _read_enum(status.get("code"), _STATUSES, 2),
        _read_text(status.get("message"), "status message"),
    )
    events, links = raw.get("events"), raw.get("links")
    if isinstance(events, list) and events:
        span.events = [_read_event(event) for event in events if isinstance(event, dict)]
    if isinstance(links, list) and links:
        span.links = [_read_link(link) for link in links if isinstance(link, dict)]
    extras: dict[str, JsonValue] = {}
    if trace_state := _get(raw, "traceState", "trace_state"):
        extras["trace_state"] = _read_text(trace_state, "trace state")
    for name, json_name in (
        ("flags", "flags"),
        ("dropped_attributes_count", "droppedAttributesCount"),
        ("dropped_events_count", "droppedEventsCount"),
        ("dropped_links_count", "droppedLinksCount"),
    ):
        if count := _read_int(_get(raw, json_name, name), name):
            extras[name] = count
    if extras:
        span.extras = extras
    return span


def _read_id(value: Any, size: int) -> bytes:
    """Return the bytes of an id in hexadecimal, or in base64 as generic protobuf libraries write it."""
    if value is None or value == "":
        return b""
    if not isinstance(value, str):
        raise _Malformed("an id that is not text")
    if len(value) == 2 * size and _HEX.fullmatch(value):
        return bytes.fromhex(value)
    if len(value) in (-(-size // 3) * 4, -(-size * 4 // 3)):
        try:
            decoded = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if len(decoded) == size:
            return decoded
    raise _Malformed(f"an id that is not {size} bytes in hexadecimal")


def _read_text(value: Any, noun: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Malformed(f"a {noun} that is not text")
    return clean_text(value)


def _read_int(value: Any, noun: str) -> int:
    if value is None or value == "":
        return 0
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Malformed(f"a {noun} that is not a number")
    try:
        number = int(value) if not isinstance(value, str) or len(value) <= 24 else _MAX_INT * 2
    except (ValueError, OverflowError) as error:
        raise _Malformed(f"a {noun} that is not a number") from error
    return number


def _read_enum(value: Any, names: Mapping[str, int], highest: int) -> int:
    if isinstance(value, str):
        return names.get(value, int(value) if value.isdecimal() and len(value) < 3 else 0)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= highest:
        return value
    return 0


def _read_attributes(pairs: Any) -> dict[str, JsonValue]:
    if pairs is None:
        return {}
    if isinstance(pairs, dict):
        return {clean_text(key): _read_plain(value, 0) for key, value in pairs.items()}
    if not isinstance(pairs, list):
        raise _Malformed("attributes that are not a list")
    attributes: dict[str, JsonValue] = {}
    for pair in pairs:
        if not isinstance(pair, dict) or not isinstance(pair.get("key"), str):
            raise _Malformed("an attribute without a key")
        attributes[clean_text(pair["key"])] = _read_value(pair.get("value"), 0)
    return attributes


def _read_value(value: Any, depth: int) -> JsonValue:
    if value is None or not isinstance(value, dict) or not value:
        return _read_plain(value, depth)
    if depth >= _MAX_DEPTH:
        return "(nested deeper than this; the request as it came has it)"
    ((name, inner), *_) = value.items()
    name = name.replace("_", "").lower()
    if inner is None:
        return None
    if name == "stringvalue":
        return clean_text(inner) if isinstance(inner, str) else _read_plain(inner, depth)
    if name == "intvalue":
        return _read_int(inner, "whole number")
    if name == "doublevalue":
        return _read_double(inner)
    if name == "boolvalue":
        return bool(inner)
    if name == "bytesvalue":
        return _read_bytes(inner)
    if name == "arrayvalue":
        items = inner.get("values") if isinstance(inner, dict) else inner
        return [_read_value(item, depth + 1) for item in items or []]
    if name == "kvlistvalue":
        items = inner.get("values") if isinstance(inner, dict) else inner
        return {
            clean_text(str(pair.get("key"))): _read_value(pair.get("value"), depth + 1)
            for pair in items or []
            if isinstance(pair, dict)
        }
    return _read_plain(value, depth)


def _read_double(value: Any) -> JsonValue:
    if isinstance(value, str):
        try:
            return clean_number(float(value))
        except ValueError:
            return clean_text(value)
    return clean_number(float(value)) if isinstance(value, int | float) else _read_plain(value, 0)


def _read_bytes(value: Any) -> JsonValue:
    try:
        return {"bytes_hex": base64.b64decode(value, validate=True).hex()}
    except (binascii.Error, ValueError, TypeError):
        return _read_plain(value, 0)


def _read_plain(value: Any, depth: int) -> JsonValue:
    """Return a JSON value that stands where OTLP wants an AnyValue."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return clean_number(value)
    if value is None or isinstance(value, bool | int):
        return value
    if depth >= _MAX_DEPTH:
        return "(nested deeper than this; the request as it came has it)"
    if isinstance(value, list):
        return [_read_plain(item, depth + 1) for item in value]
    return {clean_text(str(key)): _read_plain(item, depth + 1) for key, item in value.items()}


def _read_event(event: Mapping[str, Any]) -> JsonValue:
    read: dict[str, JsonValue] = {
        "name": _read_text(event.get("name"), "name of a span event"),
        "time_ns": _read_int(_get(event, "timeUnixNano", "time_unix_nano"), "time of a span event"),
        "attributes": _read_attributes(event.get("attributes")),
    }
    if count := _read_int(_get(event, "droppedAttributesCount", "dropped_attributes_count"), "count"):
        read["dropped_attributes_count"] = count
    return read


def _read_link(link: Mapping[str, Any]) -> JsonValue:
    read: dict[str, JsonValue] = {
        "trace_id": _read_id(_get(link, "traceId", "trace_id"), 16).hex(),
        "span_id": _read_id(_get(link, "spanId", "span_id"), 8).hex(),
        "attributes": _read_attributes(link.get("attributes")),
    }
    if trace_state := _get(link, "traceState", "trace_state"):
        read["trace_state"] = _read_text(trace_state, "trace state")
    for name, json_name in (("flags", "flags"), ("dropped_attributes_count", "droppedAttributesCount")):
        if count := _read_int(_get(link, json_name, name), name):
            read[name] = count
    return read


def _read_resource(of_resource: Mapping[str, Any]) -> dict[str, JsonValue]:
    resource = of_resource.get("resource")
    return _read_shared(resource, _get(of_resource, "schemaUrl", "schema_url"))


def _read_scope(of_scope: Mapping[str, Any]) -> dict[str, JsonValue]:
    scope = of_scope.get("scope")
    named = scope if isinstance(scope, dict) else {}
    return {
        "name": clean_text(str(named.get("name") or "")),
        "version": clean_text(str(named.get("version") or "")),
        **_read_shared(scope, _get(of_scope, "schemaUrl", "schema_url")),
    }


def _read_shared(holder: Any, schema_url: Any) -> dict[str, JsonValue]:
    """Return the attributes of a resource or a scope; what cannot be read is left to the body as it came."""
    shared: dict[str, JsonValue] = {"attributes": {}}
    if isinstance(holder, dict):
        try:
            shared["attributes"] = _read_attributes(holder.get("attributes"))
            if count := _read_int(holder.get("droppedAttributesCount"), "count"):
                shared["dropped_attributes_count"] = count
        except _Malformed:
            shared["attributes"] = {}
    if isinstance(schema_url, str) and schema_url:
        shared["schema_url"] = clean_text(schema_url)
    return shared
