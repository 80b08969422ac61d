"""OTLP over HTTP: raw routes, since this is the hottest way into the server.

Source:
    OTLP specification 1.9, OTLP/HTTP: 200 with ``partial_success``, 400 for what
    cannot be decoded, 429 and 503 with ``Retry-After`` for what may be sent again;
    errors are ``google.rpc.Status`` in the encoding of the request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import orjson
from fastapi import APIRouter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.requests import Request
from starlette.responses import Response

from referee.core.errors import RefereeError
from referee.foundation.access import Principal
from referee.traces.ingesting import ingest_otlp
from referee.traces.otlp.description import describe_otlp
from referee.traces.otlp.spans import Rejection
from referee.traces.room import TracesRoom

__all__ = ["create_otlp_routes", "dump_status", "dump_success", "say_rejection"]

PATHS: Final = {"/v1/traces": "spans_export", "/opentelemetry/v1/traces": "client_spans_export"}
"""Address → the operation's id."""
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_UNREADABLE: Final = 3
_UNAVAILABLE: Final = 14
_EXHAUSTED: Final = 8
"""Codes of google.rpc.Code: INVALID_ARGUMENT, UNAVAILABLE, RESOURCE_EXHAUSTED."""


def create_otlp_routes(room: Callable[[], TracesRoom]) -> APIRouter:
    """Return the routes that take spans."""
    router = APIRouter(tags=["otlp"])

    async def export(request: Request) -> Response:
        return await _export(request, room())

    async def export_spans(request: Request) -> Response:
        """Take spans from an OpenTelemetry exporter, as protobuf or JSON, plain or compressed with gzip."""
        return await export(request)

    for path, operation_id in PATHS.items():
        # The first takes every request, without what the framework does around a handler;
        # the second is there for the description of the API.
        router.add_route(path, export, methods=["POST"], include_in_schema=False)
        router.add_api_route(
            path, export_spans, methods=["POST"], operation_id=operation_id, **describe_otlp()
        )
    return router


async def _export(request: Request, room: TracesRoom) -> Response:
    """Store the spans of one request and answer as OTLP prescribes."""
    principal: Principal = request.state.principal
    media_type = request.headers.get("content-type", _PROTOBUF).partition(";")[0].strip().lower()
    is_json = media_type == _JSON
    if media_type not in (_JSON, _PROTOBUF, "application/protobuf", ""):
        return _answer_error(
            415, _UNREADABLE, "Send application/x-protobuf or application/json.", is_json=False
        )
    try:
        rejection = await ingest_otlp(
            room,
            principal.project_id,
            await request.body(),
            is_json=is_json,
            encoding=request.headers.get("content-encoding", ""),
        )
    except RefereeError as error:
        return _answer_refusal(error, is_json=is_json)
    return _answer_success(rejection, is_json=is_json)


def _answer_refusal(error: RefereeError, *, is_json: bool) -> Response:
    status = {422: 400}.get(error.status, error.status)
    code = {429: _EXHAUSTED, 503: _UNAVAILABLE}.get(status, _UNREADABLE)
    response = _answer_error(status, code, str(error), is_json=is_json)
    if status in (429, 503):
        response.headers["Retry-After"] = str(error.context.get("retry_after_s", 1))
    return response


def _answer_success(rejection: Rejection, *, is_json: bool) -> Response:
    if not rejection.count and not rejection.reasons:
        return Response(b"{}" if is_json else b"", media_type=_JSON if is_json else _PROTOBUF)
    said = say_rejection(rejection)
    if is_json:
        content: dict[str, object] = {
            "partialSuccess": {"rejectedSpans": str(rejection.count), "errorMessage": said}
        }
        return Response(orjson.dumps(content), media_type=_JSON)
    return Response(dump_success(rejection), media_type=_PROTOBUF)


def dump_success(rejection: Rejection) -> bytes:
    """Return ExportTraceServiceResponse in protobuf: empty when nothing was refused."""
    message = ExportTraceServiceResponse()
    if rejection.count or rejection.reasons:
        message.partial_success.rejected_spans = rejection.count
        message.partial_success.error_message = say_rejection(rejection)
    return bytes(message.SerializeToString())


def say_rejection(rejection: Rejection) -> str:
    """Return in words what was refused."""
    return "; ".join(rejection.reasons) + "." if rejection.reasons else ""


def _answer_error(status: int, code: int, message: str, *, is_json: bool) -> Response:
    if is_json:
        content = {"code": code, "message": message, "errorCode": str(code)}
        return Response(orjson.dumps(content), status, media_type=_JSON)
    return Response(dump_status(code, message), status, media_type=_PROTOBUF)


def dump_status(code: int, message: str, detail: bytes = b"") -> bytes:
    """Return google.rpc.Status: code is field 1, message field 2, each detail a google.protobuf.Any in field 3."""
    text = message.encode()
    status = b"\x08" + _dump_varint(code) + b"\x12" + _dump_varint(len(text)) + text
    return status + b"\x1a" + _dump_varint(len(detail)) + detail if detail else status


def _dump_varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
