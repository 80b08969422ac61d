"""Builds OTLP requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
START_NS = 1_764_460_000_000_000_000


def make_span(
    number: int,
    *,
    parent: int | None = None,
    trace_id: bytes = TRACE,
    name: str = "step",
    start_ns: int = START_NS,
    duration_ns: int = 2_000_000,
    **attributes: Any,
) -> dict[str, Any]:
    """Return what a span is made of; attributes have ``__`` for dots."""
    return {
        "trace_id": trace_id,
        "span_id": number.to_bytes(8, "big"),
        "parent_span_id": b"" if parent is None else parent.to_bytes(8, "big"),
        "name": name,
        "start_time_unix_nano": start_ns,
        "end_time_unix_nano": start_ns + duration_ns,
        "attributes": {key.replace("__", "."): value for key, value in attributes.items()},
    }


def make_request(spans: Sequence[Mapping[str, Any]], *, service: str = "tests") -> bytes:
    """Return an export request in protobuf."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    pair = of_resource.resource.attributes.add()
    pair.key, pair.value.string_value = "service.name", service
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = "tests"
    for span in spans:
        message = of_scope.spans.add()
        for key, value in span.items():
            if key == "attributes":
                for name, inner in value.items():
                    attribute = message.attributes.add()
                    attribute.key = name
                    if isinstance(inner, bool):
                        attribute.value.bool_value = inner
                    elif isinstance(inner, int):
                        attribute.value.int_value = inner
                    elif isinstance(inner, float):
                        attribute.value.double_value = inner
                    else:
                        attribute.value.string_value = inner
            elif key == "status":
                message.status.code, message.status.message = value
            else:
                setattr(message, key, value)
    body: bytes = request.SerializeToString()
    return body
