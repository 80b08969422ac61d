"""Analyzers over HTTP: who is there, and what they fetch and hand over. The WebSocket is hung in here too."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from referee.analysis.analyzers.connections import AnalyzerConnections
from referee.analysis.analyzers.protocol import AnalyzerLimits, ResultOffer
from referee.analysis.analyzers.queries import AnalyzerOverview, read_overview
from referee.analysis.analyzers.replica_records import ReplicaState
from referee.analysis.analyzers.snapshots import find_snapshot, stream_snapshot
from referee.analysis.analyzers.transfers import OpenTransfer
from referee.analysis.running import AnalysisRoom
from referee.core.errors import Conflict, InvalidInput
from referee.core.vocabulary import Service
from referee.foundation.web.answers import PrincipalParameter, answers_file

__all__ = ["CONNECT_PATH", "AnalyzersModel", "create_api"]

CONNECT_PATH: Final = "/v1/analyzers/connect"
_PIECE_BYTES: Final = 1 << 20
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")
_DIGEST: Final = re.compile(r"sha-256=([A-Za-z0-9+/]{43}=)", re.IGNORECASE)


class OfferedToolModel(BaseModel):
    """A tool that an analyzer has, or why it has it not."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    name: str
    service: str
    version: str
    is_available: bool
    reason: str = Field(description="Why it is not available.")


class AnalyzerModel(BaseModel):
    """A process elsewhere that runs services."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    analyzer_id: UUID
    name: str
    version: str
    services: list[Service]
    tools: list[OfferedToolModel]
    slots_count: int = Field(description="Requests it takes at the same time.")
    running_count: int
    is_connected: bool = Field(description="Connected, and heard a moment ago.")
    uptime_s: float | None
    memory_bytes: int | None
    waiting_results_count: int | None = Field(description="Results that wait on its disk.")
    connected_at: datetime
    beat_at: datetime


class RemoteRequestModel(BaseModel):
    """One service of one analysis that an analyzer was asked to run."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    request_id: UUID
    analysis_id: UUID
    subject: str
    service: Service
    state: Literal["waiting", "assigned"]
    stage: str
    reason: str
    analyzer_name: str | None
    attempts_count: int
    created_at: datetime
    assigned_at: datetime | None


class ReplicaModel(BaseModel):
    """A listening analyzer that the settings of this server name."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    service: Service
    url: str
    state: ReplicaState
    reason: str = Field(description="Why it is not connected.")
    failures_count: int = Field(description="Calls in a row that brought no lasting connection.")
    analyzer_id: UUID | None = Field(description="Who answered last.")
    changed_at: datetime | None
    next_try_at: datetime | None


class AnalyzersModel(BaseModel):
    """The analyzers of a project and what they are asked to do."""

    model_config = ConfigDict(extra="forbid")

    services: list[Service] = Field(description="Offered by a connected analyzer.")
    analyzers: list[AnalyzerModel] = Field(description="The last heard first, at most 100.")
    replicas: list[ReplicaModel] = Field(description="Named in the settings, in their order there.")
    requests: list[RemoteRequestModel] = Field(description="Without an end, the oldest first, at most 100.")
    requests_count: int

    @classmethod
    def of(cls, overview: AnalyzerOverview) -> AnalyzersModel:
        """Return the shape of an overview."""
        return cls(
            services=sorted(overview.services),
            analyzers=[AnalyzerModel.model_validate(one) for one in overview.analyzers],
            replicas=[ReplicaModel.model_validate(one) for one in overview.replicas],
            requests=[RemoteRequestModel.model_validate(one) for one in overview.requests],
            requests_count=overview.requests_count,
        )


class TransferModel(BaseModel):
    """Where the hand-over of a result stands."""

    model_config = ConfigDict(from_attributes=True, extra="forbid")

    transfer_id: UUID
    state: Literal["open", "committed", "superseded", "refused"]
    committed_bytes: int = Field(description="What need not be sent again.")
    reason: str


SourceDigest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the source.")]


def create_api(room: Callable[[], AnalysisRoom], limits: AnalyzerLimits | None = None) -> APIRouter:
    """Return the routes of analyzers, the WebSocket among them."""
    bounds = limits or AnalyzerLimits()
    connections = AnalyzerConnections(room, bounds)
    router = APIRouter()
    router.add_websocket_route(CONNECT_PATH, connections.serve)

    @router.get("/v1/analyzers", tags=["analyzers"])
    async def list_analyzers(principal: PrincipalParameter) -> AnalyzersModel:
        """Return the analyzers of the project and what they are asked to do."""
        async with room().database.reading() as session:
            overview = await read_overview(
                session, principal.project_id, ttl_s=bounds.ttl_s, urls=room().settings.analyzer_urls
            )
        return AnalyzersModel.of(overview)

    @router.get(
        "/v1/analyzers/snapshots/{source_digest}",
        tags=["analyzers"],
        response_class=StreamingResponse,
        responses=answers_file("application/x-tar"),
    )
    async def get_snapshot(source_digest: SourceDigest, principal: PrincipalParameter) -> StreamingResponse:
        """Send the source of an unfinished analysis as a tar file."""
        principal.require("write")  # what analyzers may, and readers need not
        snapshot = await find_snapshot(room(), principal.project_id, source_digest)
        return StreamingResponse(
            stream_snapshot(snapshot),
            media_type="application/x-tar",
            headers={"Cache-Control": "no-store", "Content-Encoding": "identity"},
        )

    @router.get("/v1/analyzers/transfers/{transfer_id}", tags=["analyzers"])
    async def get_transfer(transfer_id: UUID, principal: PrincipalParameter) -> TransferModel:
        """Return how far the hand-over of a result has come."""
        report = await connections.transfers.report(transfer_id, project_id=principal.project_id)
        return TransferModel.model_validate(report)

    @router.put("/v1/analyzers/transfers/{transfer_id}", tags=["analyzers"])
    async def put_transfer(
        request: Request,
        transfer_id: UUID,
        principal: PrincipalParameter,
        tool_run_id: Annotated[UUID, Query(description="Whose result it is.")],
        content_range: Annotated[str, Header(description="bytes FIRST-LAST/TOTAL of the whole result.")],
        digest: Annotated[str, Header(description="sha-256=BASE64 of the whole result.")],
    ) -> TransferModel:
        """Hand over a piece of a result: the way for networks that let no WebSocket through."""
        first, last, total = _read_range(content_range)
        offer = ResultOffer(
            transfer_id=transfer_id, tool_run_id=tool_run_id, total_bytes=total, sha256=_read_digest(digest)
        )
        report, transfer = await connections.transfers.announce(
            offer, project_id=principal.project_id, analyzer_id=None
        )
        if transfer is None:
            return TransferModel.model_validate(report)
        if transfer.is_complete:  # its bytes were all there, and the server stopped before it recorded them
            return TransferModel.model_validate(await transfer.finish())
        if first != report.committed_bytes:
            raise Conflict(
                "analyzer.offset_differs",
                f"The piece begins at {first:,}, and {report.committed_bytes:,} bytes are there.",
                "Go on at the committed offset.",
                committed_bytes=report.committed_bytes,
            )
        await _append_body(request, transfer, first, last)
        if last + 1 == total:
            return TransferModel.model_validate(await transfer.finish())
        await transfer.commit()
        return TransferModel.model_validate(
            report.model_copy(update={"committed_bytes": transfer.committed_bytes})
        )

    return router


async def _append_body(request: Request, transfer: OpenTransfer, first: int, last: int) -> None:
    """Take the body of a request, piece by piece."""
    offset, buffer = first, bytearray()
    async for data in request.stream():
        buffer += data
        if offset + len(buffer) > last + 1:
            raise InvalidInput(
                "analyzer.range_differs",
                "The body is longer than its Content-Range says.",
                "Send that range.",
            )
        if len(buffer) >= _PIECE_BYTES:
            await transfer.append(offset, bytes(buffer))
            offset += len(buffer)
            buffer.clear()
    if buffer:
        await transfer.append(offset, bytes(buffer))


def _read_range(text: str) -> tuple[int, int, int]:
    found = _CONTENT_RANGE.fullmatch(text.strip())
    first, last, total = (int(number) for number in found.groups()) if found else (0, -1, 0)
    if not first <= last < total:
        raise InvalidInput(
            "analyzer.range_invalid",
            f"{text[:80]!r} is not the range of a piece.",
            "Write Content-Range: bytes FIRST-LAST/TOTAL.",
        )
    return first, last, total


def _read_digest(text: str) -> str:
    """Return the SHA-256 in a Digest header (RFC 3230) in hexadecimal digits."""
    found = _DIGEST.search(text)
    try:
        if found is None:
            raise ValueError
        return base64.b64decode(found[1], validate=True).hex()
    except (ValueError, binascii.Error) as error:
        raise InvalidInput(
            "analyzer.digest_invalid",
            "The Digest header holds no SHA-256.",
            "Write Digest: sha-256=BASE64 of the whole result.",
        ) from error
