"""What server and analyzer say to each other: one envelope, typed contents, limits on everything.

Every message is one JSON text ``{type, id, timestamp, service?, data?, client_id?, correlation_id?}``.
Pieces of results are binary messages, each announced by a ``result_chunk`` right before it. A
message that is larger, of another shape or with a longer list than allowed is refused before
anything is done with it; fields that are not known are ignored, so either side may be newer.

The names are those of the app-analysis system that Referee succeeds, so that its messages can be
spoken to and by Referee's analyzers (``listening.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from referee.core.errors import InvalidInput
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.core.vocabulary import Service

__all__ = [
    "ANALYZE_TYPES",
    "FINAL_TRANSFER_STATES",
    "MAX_CHUNK_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_RESULTS_COUNT",
    "PROTOCOL_VERSION",
    "RESULT_TYPES",
    "SERVER_ID_HEADER",
    "SUBPROTOCOL",
    "AnalyzeRequest",
    "AnalyzerLimits",
    "BeginRequest",
    "CancelRequest",
    "Chunk",
    "ChunkAck",
    "ConnectionAck",
    "Envelope",
    "ErrorReport",
    "HealthReport",
    "HeartbeatReport",
    "Registration",
    "ResultOffer",
    "SourceChunk",
    "SourceEnd",
    "SourceRequest",
    "StatusUpdate",
    "ToolOffer",
    "ToolRunOrder",
    "TransferReport",
    "TransferState",
    "parse_envelope",
    "read_data",
    "render_envelope",
]

PROTOCOL_VERSION: Final = 1
SERVER_ID_HEADER: Final = "Referee-Server-Id"
"""Tells a listening analyzer which server calls: results for one are never offered to another."""
SUBPROTOCOL: Final = "referee-analyzer-1"
"""By this name a server that calls a listening analyzer says that it speaks this protocol, not the classic one."""
MAX_MESSAGE_BYTES: Final = 4 << 20
"""Of one JSON message; the largest is a request with its template, whose document may have 1 MB."""
MAX_CHUNK_BYTES: Final = 1 << 20
"""Of one piece of a result."""

MAX_RESULTS_COUNT: Final = 10_000
"""Results that an analyzer names when it introduces itself."""

ANALYZE_TYPES: Final[dict[Service, str]] = {
    Service.static: "static_analyze",
    Service.dynamic: "dynamic_analyze",
    Service.performance: "performance_test",
    Service.ai: "ai_analyze",
}
"""The message that asks for a service."""
RESULT_TYPES: Final[dict[Service, str]] = {
    Service.static: "static_analysis_result",
    Service.dynamic: "dynamic_analysis_result",
    Service.performance: "performance_analysis_result",
    Service.ai: "ai_analysis_result",
}
"""The message that offers a result of a service."""


Word = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")]
Line = Annotated[str, Field(max_length=500)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ByteCount = Annotated[int, Field(ge=0, le=1 << 40)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzerLimits:
    """Times and sizes of the server side; the analyzer is told those that it must keep."""

    heartbeat_s: float = 5.0
    """Between two heartbeats of an analyzer."""
    ttl_s: float = 30.0
    """An analyzer that was not heard for so long is gone, and its work is given to another."""
    patience_s: float = 60.0
    """How long work waits while no analyzer offers its service."""
    recall_s: float = 5.0
    """Between two calls to a listening analyzer that was given up, while work waits and nobody else is there for it."""
    attempts_count: int = 3
    """Times a request is given to an analyzer."""
    look_s: float = 0.5
    """Between two looks into the database for work and cancellations."""
    chunk_bytes: int = 512 * 1024
    """Of one piece. Twice that takes three times as long: it no longer fits what a socket takes at once, and buffers
    of that size are mapped anew for each piece."""
    own_file_bytes: int = 1024 * 1024
    """Streams of a result from this size on are written to files of their own, which become artifacts as they are."""
    window_bytes: int = 32 * 1024 * 1024
    """Bytes that may be on their way without being acknowledged."""
    commit_bytes: int = 16 * 1024 * 1024
    """Bytes after which what has arrived is flushed to disk, recorded and acknowledged. At most half a window."""
    commit_s: float = 2.0
    """Time after which the next chunk brings that too, so that a slow line loses little at a cut."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Envelope(_Message):
    """One message."""

    type: Word
    id: Annotated[str, Field(min_length=1, max_length=100)]
    timestamp: Annotated[str, Field(max_length=40)]
    service: Word | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    client_id: Annotated[str, Field(max_length=100)] | None = None
    correlation_id: Annotated[str, Field(max_length=100)] | None = None
    """Id of what it answers."""


class ToolOffer(_Message):
    """A tool that an analyzer has, or why it has it not."""

    name: Word
    service: Service
    version: Annotated[str, Field(max_length=100)] = ""
    is_available: bool
    reason: Line = ""


class Registration(_Message):
    """``service_register``: who connects and what it offers."""

    protocol_version: int
    analyzer_id: UUID
    name: Annotated[str, Field(min_length=1, max_length=100)]
    version: Annotated[str, Field(max_length=50)]
    services: Annotated[list[Service], Field(max_length=5)]
    tools: Annotated[list[ToolOffer], Field(max_length=200)]
    slots_count: Annotated[int, Field(ge=1, le=64)]
    requests: Annotated[list[UUID], Field(max_length=1_000)] = Field(default_factory=list)
    """Requests that it is still at."""
    results: Annotated[list[UUID], Field(max_length=MAX_RESULTS_COUNT)] = Field(default_factory=list)
    """Tool runs whose results wait on its disk."""


class ConnectionAck(_Message):
    """``connection_ack``: the connection counts, and how to use it."""

    connection_id: UUID
    heartbeat_s: float = Field(gt=0, le=3600)
    chunk_bytes: int = Field(ge=1, le=MAX_CHUNK_BYTES)
    window_bytes: int = Field(ge=1, le=1 << 30)
    forget: list[UUID] = Field(default_factory=list)
    """Requests that are no longer the analyzer's."""


class ToolRunOrder(_Message):
    """One tool to run."""

    tool_run_id: UUID
    transfer_id: UUID
    """Under which its result is handed over."""
    tool: Word
    parameters: dict[str, Any]


class AnalyzeRequest(_Message):
    """``static_analyze``, ``dynamic_analyze``, ``performance_test`` or ``ai_analyze``."""

    request_id: UUID
    analysis_id: UUID
    service: Service
    subject: Annotated[str, Field(max_length=400)]
    """How people call what is analysed."""
    source_digest: Digest
    model_slug: Annotated[str, Field(max_length=200)] | None = None
    app_number: int | None = None
    tool_runs: Annotated[list[ToolRunOrder], Field(min_length=1, max_length=200)]
    template: dict[str, Any] | None = None
    """What the app was asked to do, as its template's document."""
    traceparent: Annotated[str, Field(max_length=64)] | None = None
    should_wait: bool = False
    """Whether nothing may be begun before ``begin_request``: the server tells so when it has recorded who has it."""


class BeginRequest(_Message):
    """``begin_request``: the server has on record that the analyzer has a request; now it may begin."""

    request_id: UUID


class CancelRequest(_Message):
    """``cancel_request``: stop working on a request; its results are not wanted."""

    request_id: UUID


class StatusUpdate(_Message):
    """``status_update``: how far a request is."""

    request_id: UUID
    state: Literal["accepted", "running", "failed", "cancelled", "finished"]
    tool: Annotated[str, Field(max_length=100)] = ""
    message: Line = ""


class HealthReport(_Message):
    """``health_response``: whether the other side can work."""

    status: Word
    """``healthy``, or in one word what it is instead."""
    reason: Line = ""


class SourceRequest(_Message):
    """``source_request``: the analyzer wants a source over the connection, as a tar file."""

    source_digest: Digest


class SourceChunk(_Message):
    """``source_chunk``: the binary message right after it is the next piece of a source."""

    source_digest: Digest
    length: int = Field(ge=1, le=MAX_CHUNK_BYTES)


class SourceEnd(_Message):
    """``source_end``: every piece of a source was sent."""

    source_digest: Digest
    total_bytes: ByteCount


class HeartbeatReport(_Message):
    """``heartbeat``: the analyzer is there."""

    service_id: Annotated[str, Field(max_length=100)]
    status: Annotated[str, Field(max_length=40)]
    uptime: float = Field(ge=0)
    """Seconds."""
    active_analyses: int = Field(ge=0)
    queue_size: int = Field(ge=0)
    """Results that wait on its disk."""
    memory: int | None = Field(default=None, ge=0)
    """Bytes."""
    cpu: float | None = Field(default=None, ge=0)
    """Percent of one core."""


class ResultOffer(_Message):
    """``<service>_analysis_result``: a tool has ended, and its result waits to be fetched."""

    transfer_id: UUID
    tool_run_id: UUID
    total_bytes: ByteCount
    sha256: Digest


TransferState = Literal["open", "committed", "superseded", "refused"]
FINAL_TRANSFER_STATES: Final[frozenset[str]] = frozenset({"committed", "superseded", "refused"})
"""The result is safe or not wanted: the analyzer may forget it."""


class TransferReport(_Message):
    """``result_offset`` and ``result_ack``: where a transfer stands."""

    transfer_id: UUID
    state: TransferState
    committed_bytes: ByteCount = 0
    """What need not be sent again."""
    reason: Annotated[str, Field(max_length=1_000)] = ""


class Chunk(_Message):
    """``result_chunk``: the binary message right after it is this piece."""

    transfer_id: UUID
    offset: ByteCount
    length: int = Field(ge=1, le=MAX_CHUNK_BYTES)
    crc32: int = Field(ge=0, lt=1 << 32)
    """Shows which chunk was altered on its way; the SHA-256 of the whole proves that none was."""


class ChunkAck(_Message):
    """``chunk_ack``: these bytes are on the server's disk."""

    transfer_id: UUID
    committed_bytes: ByteCount


class ErrorReport(_Message):
    """``error``: why something was not done."""

    code: Word
    message: Annotated[str, Field(max_length=2_000)]
    suggestion: Annotated[str, Field(max_length=2_000)] = ""
    details: dict[str, Any] = Field(default_factory=dict)


Content = TypeVar("Content", bound=BaseModel)


def render_envelope(
    type: str,
    data: BaseModel | dict[str, JsonValue] | None = None,
    *,
    service: str | None = None,
    client_id: str | None = None,
    correlation_id: str | None = None,
) -> str:
    """Return a message as the text that is sent."""
    content = data.model_dump(mode="json") if isinstance(data, BaseModel) else (data or {})
    fields: dict[str, JsonValue] = {
        "type": type,
        "id": new_id().hex,
        "timestamp": datetime.now(UTC).isoformat(),
        "service": service,
        "data": content,
        "client_id": client_id,
        "correlation_id": correlation_id,
    }
    return json.dumps(
        {name: value for name, value in fields.items() if value is not None}, ensure_ascii=False
    )


def parse_envelope(text: str | bytes) -> Envelope:
    """Return the message in a text.

    Raises:
        InvalidInput: It is too large, no JSON object, or not of the envelope's form.
    """
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_MESSAGE_BYTES:
        raise InvalidInput(
            "analyzer.message_too_large",
            f"A message has {size:,} bytes, and at most {MAX_MESSAGE_BYTES:,} are taken.",
            "Send results in chunks.",
        )
    try:
        return Envelope.model_validate(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise _invalid("envelope", error) from error


def read_data(envelope: Envelope, content: type[Content]) -> Content:
    """Return the content of a message, checked.

    Raises:
        InvalidInput: It is not what a message of this type holds; the first wrong field is named.
    """
    try:
        return content.model_validate(envelope.data)
    except ValidationError as error:
        raise _invalid(envelope.type, error) from error


def _invalid(what: str, error: Exception) -> InvalidInput:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        sentence = f"{where}: {first['msg']}" if where else str(first["msg"])
    else:
        sentence = "it is no JSON text"
    return InvalidInput(
        "analyzer.message_invalid",
        f"A message ({what[:100]}) cannot be understood: {sentence[:300].rstrip('.')}.",
        "Run the same version of Referee on both sides.",
    )
