"""The gRPC server that takes spans: one method, bytes in and bytes out.

A message goes the way of a body of OTLP over HTTP, unparsed up to the decoder,
so both refuse, count and keep the same.

Source:
    OTLP specification 1.9, OTLP/gRPC: RESOURCE_EXHAUSTED with RetryInfo and UNAVAILABLE may be sent again;
    INVALID_ARGUMENT may not. google.rpc.Status and RetryInfo: ``google/rpc/status.proto``, ``error_details.proto``.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

import grpc
import grpc.aio
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration

from referee.core.errors import Conflict, RefereeError
from referee.traces.ingesting import MAX_BODY_BYTES, ingest_otlp
from referee.traces.otlp_grpc import Callers
from referee.traces.otlp_routes import dump_status, dump_success
from referee.traces.room import TracesRoom

__all__ = ["start_server", "stop_server"]

SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
MAX_CALLS_AT_ONCE: Final = 128
"""Further ones are told RESOURCE_EXHAUSTED."""
MAX_METADATA_BYTES: Final = 16 * 1024
STOP_S: Final = 2.0
"""Calls that are being served get this long to end."""
_RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"
_CODES: Final = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
_log = structlog.get_logger(__name__)


async def start_server(
    host: str, port: int, room: TracesRoom, callers: Callers
) -> tuple[grpc.aio.Server, int]:
    """Return a server that takes calls, and its port.

    Raises:
        Conflict: The port is taken.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", MAX_BODY_BYTES),
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=MAX_CALLS_AT_ONCE,
    )
    handler = grpc.unary_unary_rpc_method_handler(make_export(room, callers))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise Conflict(
            "traces.grpc_port_taken",
            f"OTLP/gRPC cannot listen on {address}: the port is taken or not allowed.",
            "Choose another one with REFEREE_OTLP_GRPC_PORT.",
        ) from error
    await server.start()
    _log.info("otlp_grpc.started", host=host, port=bound)
    return server, bound


async def stop_server(server: grpc.aio.Server) -> None:
    """Let calls that are being served end, and close."""
    await server.stop(STOP_S)


def make_export(
    room: TracesRoom, callers: Callers
) -> Callable[[bytes, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]]:
    """Return the method ``Export``."""

    async def export(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        try:
            principal = await callers.identify(str(metadata.get("authorization", "")))
            rejection = await ingest_otlp(room, principal.project_id, body, is_json=False)
        except RefereeError as error:
            await _refuse(context, error)
            raise  # abort has raised before
        except Exception:
            _log.exception("otlp_grpc.failed")
            await context.abort(grpc.StatusCode.INTERNAL, "The spans could not be stored.")
            raise
        return dump_success(rejection)

    return export


async def _refuse(context: grpc.aio.ServicerContext[bytes, bytes], error: RefereeError) -> None:
    """End the call with the error's code; with the time to wait where the same may be sent again."""
    code = _CODES.get(error.status, grpc.StatusCode.INVALID_ARGUMENT)
    message = re.sub(r"[^\x20-\x7e]", "?", str(error))
    details = b""
    if error.status in (429, 503):
        details = _dump_retry_info(int(str(error.context.get("retry_after_s", 1))))
    status = dump_status(code.value[0], message, details)
    await context.abort(code, message, (("grpc-status-details-bin", status),))


def _dump_retry_info(retry_after_s: int) -> bytes:
    """Return google.protobuf.Any with google.rpc.RetryInfo, whose field 1 is a Duration."""
    delay = Duration(seconds=retry_after_s).SerializeToString()
    packed = AnyMessage(type_url=_RETRY_INFO, value=b"\x0a" + bytes((len(delay),)) + delay)
    return bytes(packed.SerializeToString())
