"""OTLP's export request, with the attributes and the status of a span left as bytes.

Reading an attribute through the message of ``opentelemetry-proto`` makes two
objects and five calls; most attributes are a text that can be cut out of its
bytes in one. So the span's fields 9 and 15 are declared as bytes here, which on
the wire is the same, and everything else keeps its own message.

Source:
    OTLP specification 1.9 (trace.proto, common.proto); Protocol Buffers encoding:
    a nested message and bytes are both length-delimited.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from referee.core.findings import JsonValue
from referee.traces.otlp.spans import clean_number, clean_text

__all__ = ["ExportRequest", "FastSpan", "KeyValue", "read_attributes"]

KeyValue: Final = common_pb2.KeyValue
_OPAQUE: Final = {"attributes", "status"}
_PACKAGE: Final = "referee.otlp"
_MAX_SIZE: Final = 1 << 14
"""Below it every length has at most two bytes."""
_MAX_KEYS: Final = 16_384
_MAX_KEY_BYTES: Final = 128
MAX_KNOWN_BYTES: Final = 120
"""Of an attribute that may be met again in its request: kinds, models, users, sessions. Longer ones are content."""


def _declare() -> tuple[Any, Any]:
    """Return the classes of the request and of the span."""
    pool = descriptor_pool.DescriptorPool()
    for module in (common_pb2, resource_pb2, trace_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    declared = descriptor_pb2.FileDescriptorProto(
        name="referee/otlp.proto", package=_PACKAGE, syntax="proto3"
    )
    declared.dependency.append(trace_pb2.DESCRIPTOR.name)
    declared.dependency.append(common_pb2.DESCRIPTOR.name)
    declared.dependency.append(resource_pb2.DESCRIPTOR.name)
    for name in ("ResourceSpans", "ScopeSpans", "Span"):
        message = declared.message_type.add(name=name)
        trace_pb2.DESCRIPTOR.message_types_by_name[name].CopyToProto(message)
        del message.nested_type[:], message.enum_type[:]
        for field in message.field:
            if name == "Span" and field.name in _OPAQUE:
                field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
                field.ClearField("type_name")
            elif field.type_name.rpartition(".")[2] in ("ScopeSpans", "Span"):
                field.type_name = f".{_PACKAGE}.{field.type_name.rpartition('.')[2]}"
    request = declared.message_type.add(name="Request")
    request.field.add(
        name="resource_spans",
        number=1,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED,
        type_name=f".{_PACKAGE}.ResourceSpans",
    )
    pool.AddSerializedFile(declared.SerializeToString())
    find = pool.FindMessageTypeByName
    return (
        message_factory.GetMessageClass(find(f"{_PACKAGE}.Request")),
        message_factory.GetMessageClass(find(f"{_PACKAGE}.Span")),
    )


ExportRequest, FastSpan = _declare()

_keys: Final[dict[bytes, str]] = {}
_read_double: Final = struct.Struct("<d").unpack_from


def read_attributes(
    raws: Iterable[bytes],
    read_other: Callable[[bytes], tuple[str, JsonValue]],
    known: dict[bytes, tuple[str, JsonValue]],
) -> dict[str, JsonValue]:
    """Return the attributes of a span.

    Args:
        raws: Each a ``KeyValue``.
        read_other: Reads one that is no text, small number or double in its shortest form.
        known: Plain ones that were read before in the same request, which half of all repeat; more are added.

    Raises:
        UnicodeDecodeError: A text is not UTF-8.
    """
    attributes: dict[str, JsonValue] = {}
    for raw in raws:
        pair = known.get(raw)
        if pair is not None:
            attributes[pair[0]] = pair[1]
            continue
        try:
            value = _cut_value(raw)
        except IndexError:
            value = None
        if value is None:
            key, value = read_other(raw)
        else:
            name = raw[2 : raw[1] + 2]
            key = _keys.get(name) or _learn_key(name)
            if len(raw) <= MAX_KNOWN_BYTES:
                known[raw] = key, value
        attributes[key] = value
    return attributes


def _cut_value(raw: bytes) -> JsonValue:
    """Return the plain value of a ``KeyValue``; None when it has to be read as the message it is.

    Raises:
        IndexError: It ends too soon for a plain one.
    """
    size, end = len(raw), raw[1] + 2
    # Field 1, a text shorter than 128 bytes, then field 2, a message that reaches to the end.
    if size >= _MAX_SIZE or raw[0] != 0x0A or end > 129 or raw[end] != 0x12:
        return None
    length, at = raw[end + 1], end + 2
    if length >= 0x80:
        length, at = length & 0x7F | raw[at] << 7, at + 1
    if at + length != size:
        return None
    tag = raw[at]
    if tag == 0x0A:
        length, at = raw[at + 1], at + 2
        if length >= 0x80:
            length, at = length & 0x7F | raw[at] << 7, at + 1
        if at + length != size:
            return None
        text = raw[at:].decode()
        return clean_text(text) if "\x00" in text else text
    if tag == 0x18:
        low = raw[at + 1]
        if length == 2:
            return low if low < 0x80 else None
        return low & 0x7F | raw[at + 2] << 7 if length == 3 and low >= 0x80 > raw[at + 2] else None
    if tag == 0x21 and length == 9:
        return clean_number(_read_double(raw, at + 1)[0])
    return None


def _learn_key(name: bytes) -> str:
    key = clean_text(name.decode())
    if len(_keys) < _MAX_KEYS and len(name) <= _MAX_KEY_BYTES:
        _keys[name] = key
    return key
