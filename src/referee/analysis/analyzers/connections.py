"""The server's end of the connections that analyzers open.

::

    connect ── key ──> accepted ── service_register ──> registered ── connection_ack ──> work …
                                                            │
           closed by either side, or replaced by a newer connection of the same analyzer

While it stands, a connection is read by one task and given work by another. What must survive a cut
is in the database or on disk before it is said; what is said twice has its effect once.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog
from pydantic import BaseModel
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from referee import __version__
from referee.analysis.analyzers.committing import LIVE_TOPIC
from referee.analysis.analyzers.dispatch import (
    assign_request,
    build_order,
    disconnect_analyzer,
    list_lost_requests,
    note_status,
    record_beat,
    register_analyzer,
)
from referee.analysis.analyzers.protocol import (
    ANALYZE_TYPES,
    FINAL_TRANSFER_STATES,
    PROTOCOL_VERSION,
    RESULT_TYPES,
    AnalyzerLimits,
    CancelRequest,
    Chunk,
    ChunkAck,
    ConnectionAck,
    Envelope,
    ErrorReport,
    HeartbeatReport,
    Registration,
    ResultOffer,
    StatusUpdate,
    parse_envelope,
    read_data,
    render_envelope,
)
from referee.analysis.analyzers.transfers import OpenTransfer, TransferStore
from referee.analysis.running import AnalysisRoom
from referee.core.errors import Forbidden, InvalidInput, RefereeError, Unauthorized
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.foundation.access import Principal
from referee.foundation.store import Database
from referee.foundation.web.shell import get_shell

__all__ = ["AnalyzerConnections"]

_REGISTER_S: Final = 15.0
"""Time for the first message."""
_OFFERS: Final = frozenset({*RESULT_TYPES.values(), "analysis_result"})
_CLOSE_POLICY: Final = 1008
_CLOSE_REPLACED: Final = 4000
"""The analyzer has a newer connection."""

log = structlog.get_logger("referee.analyzers")


class AnalyzerConnections:
    """The connections of one server process.

    Args:
        room: Of analyses.
        limits: Times and sizes.
    """

    def __init__(self, room: Callable[[], AnalysisRoom], limits: AnalyzerLimits) -> None:
        self.room = room
        self.limits = limits
        self.transfers = TransferStore(room, limits)
        self._endings: set[asyncio.Task[None]] = set()

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one connection until it ends."""
        try:
            principal = await _identify(websocket)
        except RefereeError as error:
            await websocket.send_denial_response(
                JSONResponse({"code": error.code, "detail": str(error)}, status_code=error.status)
            )
            return
        await websocket.accept()
        connection = _Connection(self, websocket, principal)
        try:
            await connection.run()
        except WebSocketDisconnect:
            pass
        except RefereeError as error:
            log.warning("analyzer.connection_failed", code=error.code, message=error.message)
            await connection.refuse(error)

    def keep(self, task: asyncio.Task[None]) -> None:
        """Let a task that records a result come to its end, whatever becomes of its connection."""
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)


async def _identify(websocket: WebSocket) -> Principal:
    """Return who connects.

    Raises:
        Unauthorized: No key, or one that is not known.
        Forbidden: A browser asks, or the key may not write.
    """
    if "origin" in websocket.headers:  # programs send none; a page of any site can open a WebSocket
        raise Forbidden(
            "analyzer.browser_refused", "Analyzers are programs, not pages.", "Run `referee analyzer`."
        )
    principal, _ = await get_shell(websocket).sessions.identify(websocket)
    if principal is None:
        raise Unauthorized(
            "access.key_missing", "A key is needed here.", "Give the analyzer a key with the scope write."
        )
    principal.require("write")
    return principal


class _Connection:
    """One connection of one analyzer."""

    def __init__(self, server: AnalyzerConnections, websocket: WebSocket, principal: Principal) -> None:
        self._server = server
        self._websocket = websocket
        self._principal = principal
        self._connection_id = new_id()
        self._analyzer_id = UUID(int=0)
        self._given: set[UUID] = set()
        """Requests that the analyzer is believed to be at."""
        self._offer: ResultOffer | None = None
        self._transfer: OpenTransfer | None = None
        self._sending = asyncio.Lock()
        self._beat_s = time.monotonic()
        self._is_leaving = False

    async def run(self) -> None:
        """Register the analyzer, then read and give work until the connection ends."""
        first = await self._receive_first()
        registration = read_data(first, Registration)
        if registration.protocol_version != PROTOCOL_VERSION:
            raise InvalidInput(
                "analyzer.protocol_differs",
                f"The analyzer speaks version {registration.protocol_version} of the protocol, and this server"
                f" {PROTOCOL_VERSION}.",
                "Run the same version of Referee on both sides.",
            )
        await self._register(registration, first.id)
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._give_work())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.shield(self._disconnect())

    async def refuse(self, error: RefereeError) -> None:
        """Say why the connection ends, and end it."""
        with suppress(WebSocketDisconnect, RuntimeError, OSError):
            await self._send_error(error, None)
            await self._websocket.close(_CLOSE_POLICY, error.code)

    async def _receive_first(self) -> Envelope:
        try:
            async with asyncio.timeout(_REGISTER_S):
                text = await self._receive()
        except TimeoutError as error:
            raise InvalidInput(
                "analyzer.not_registered", "The analyzer did not introduce itself in time.", ""
            ) from error
        if text is None:
            raise WebSocketDisconnect
        envelope = parse_envelope(text)
        if envelope.type != "service_register":
            raise InvalidInput(
                "analyzer.not_registered",
                f"The first message was {envelope.type}, and must be service_register.",
                "Run the same version of Referee on both sides.",
            )
        return envelope

    async def _register(self, registration: Registration, message_id: str) -> None:
        self._analyzer_id = registration.analyzer_id
        async with self._database.transaction() as session:
            registered = await register_analyzer(
                session, self._principal.project_id, registration, self._connection_id
            )
        self._given = set(registration.requests) - set(registered.forget)
        limits = self._server.limits
        await self._send(
            "connection_ack",
            ConnectionAck(
                connection_id=self._connection_id,
                heartbeat_s=limits.heartbeat_s,
                chunk_bytes=limits.chunk_bytes,
                window_bytes=limits.window_bytes,
                forget=list(registered.forget),
            ),
            correlation_id=message_id,
        )
        for request_id in registered.send_again:
            await self._send_order(request_id)
        log.info(
            "analyzer.connected",
            analyzer_id=str(self._analyzer_id),
            name=registration.name,
            services=[service.value for service in registration.services],
        )

    async def _disconnect(self) -> None:
        try:
            async with self._database.transaction() as session:
                await disconnect_analyzer(
                    session,
                    self._principal.project_id,
                    self._analyzer_id,
                    self._connection_id,
                    is_leaving=self._is_leaving,
                )
        except RefereeError as error:  # its beat will tell
            log.warning("analyzer.end_not_noted", code=error.code)
        log.info("analyzer.disconnected", analyzer_id=str(self._analyzer_id))

    async def _read(self) -> None:
        while (text := await self._receive()) is not None:
            if isinstance(text, bytes):
                raise InvalidInput(
                    "analyzer.message_invalid", "A binary message came without a result_chunk before it.", ""
                )
            await self._take(parse_envelope(text))

    async def _take(self, envelope: Envelope) -> None:
        if envelope.type == "heartbeat":
            await self._take_beat(read_data(envelope, HeartbeatReport))
        elif envelope.type in ("status_update", "progress_update"):
            async with self._database.transaction() as session:
                await note_status(session, self._analyzer_id, read_data(envelope, StatusUpdate))
        elif envelope.type in _OFFERS:
            await self._take_offer(envelope)
        elif envelope.type == "result_chunk":
            await self._take_chunk(read_data(envelope, Chunk))
        elif envelope.type == "service_unregister":
            self._is_leaving = True
        elif envelope.type == "ping":
            await self._send("pong", correlation_id=envelope.id)
        elif envelope.type in ("health_check", "status_request"):
            content: dict[str, JsonValue] = {"status": "healthy", "service": "server", "version": __version__}
            await self._send("health_response", content, correlation_id=envelope.id)
        elif envelope.type != "error":
            await self._send_error(
                InvalidInput(
                    "analyzer.message_unknown", f"There is no message {envelope.type}.", "It was ignored."
                ),
                envelope.id,
            )

    async def _take_beat(self, report: HeartbeatReport | None) -> None:
        self._beat_s = time.monotonic()
        async with self._database.transaction() as session:
            is_ours = await record_beat(session, self._analyzer_id, self._connection_id, report)
        if not is_ours:
            await self._websocket.close(_CLOSE_REPLACED, "replaced")
            raise WebSocketDisconnect(_CLOSE_REPLACED)

    async def _take_offer(self, envelope: Envelope) -> None:
        offer = read_data(envelope, ResultOffer)
        self._offer, self._transfer = offer, None
        try:
            report, transfer = await self._server.transfers.announce(
                offer, project_id=self._principal.project_id, analyzer_id=self._analyzer_id
            )
        except RefereeError as error:
            await self._send_error(error, str(offer.transfer_id))
            return
        self._transfer = transfer
        await self._send("result_offset", report, correlation_id=envelope.id)
        if transfer is not None and transfer.is_complete:
            self._finish(offer, transfer)

    async def _take_chunk(self, chunk: Chunk) -> None:
        data = await self._receive()
        if data is None:
            raise WebSocketDisconnect
        if time.monotonic() - self._beat_s > self._server.limits.heartbeat_s:
            await self._take_beat(None)  # on a slow line heartbeats come late, behind chunks
        offer, transfer = self._offer, self._transfer
        if transfer is None or offer is None or offer.transfer_id != chunk.transfer_id:
            return  # still on its way when its transfer was refused
        try:
            if not isinstance(data, bytes) or len(data) != chunk.length:
                raise InvalidInput("analyzer.chunk_invalid", "A chunk is not as long as announced.", "")
            if zlib.crc32(data) != chunk.crc32:
                raise InvalidInput(
                    "analyzer.chunk_altered", "A chunk has another checksum than announced.", ""
                )
            committed_bytes = await transfer.append(chunk.offset, data)
        except RefereeError as error:
            self._transfer = None
            await self._send_error(error, str(chunk.transfer_id))
            return
        if committed_bytes is not None:
            await self._send(
                "chunk_ack", ChunkAck(transfer_id=chunk.transfer_id, committed_bytes=committed_bytes)
            )
        if transfer.is_complete:
            self._finish(offer, transfer)

    def _finish(self, offer: ResultOffer, transfer: OpenTransfer) -> None:
        """Record a complete result beside the reading, so that heartbeats are heard meanwhile."""
        self._transfer = None
        self._server.keep(asyncio.create_task(self._record(offer, transfer)))

    async def _record(self, offer: ResultOffer, transfer: OpenTransfer) -> None:
        with suppress(WebSocketDisconnect, RuntimeError, OSError):  # the analyzer asks again when it is back
            try:
                report = await transfer.finish()
            except RefereeError as error:
                await self._send_error(error, str(offer.transfer_id))
                return
            except Exception:
                log.exception("result.not_recorded", transfer_id=str(offer.transfer_id))
                await self._send_error(
                    RefereeError("internal.unexpected", "The result could not be recorded.", "See the log."),
                    str(offer.transfer_id),
                )
                return
            if report.state in FINAL_TRANSFER_STATES:
                await self._send("result_ack", report)
                return
            if self._offer is offer:  # all is needed again
                self._transfer = transfer
            await self._send("result_offset", report)

    async def _give_work(self) -> None:
        """Give requests out and take ended ones back, whenever something has changed."""
        hub = get_shell(self._websocket).live
        async with hub.open_stream(frozenset({LIVE_TOPIC}), self._principal.project_id) as stream:
            async for _ in stream.events(self._server.limits.look_s * 4):
                await self._take_lost_back()
                while (request_id := await self._assign()) is not None:
                    await self._send_order(request_id)

    async def _assign(self) -> UUID | None:
        if self._is_leaving:
            return None
        async with self._database.transaction() as session:
            return await assign_request(
                session,
                self._principal.project_id,
                self._analyzer_id,
                self._connection_id,
                attempts_count=self._server.limits.attempts_count,
            )

    async def _send_order(self, request_id: UUID) -> None:
        order = await build_order(self._server.room(), request_id, self._analyzer_id)
        if order is None:  # cancelled in this moment, or its tool runs have results since
            return
        self._given.add(request_id)
        await self._send(ANALYZE_TYPES[order.service], order, service=order.service.value)

    async def _take_lost_back(self) -> None:
        async with self._database.reading() as session:
            lost = await list_lost_requests(session, self._analyzer_id, self._given)
        for request_id, is_completed in lost.items():
            self._given.discard(request_id)
            if not is_completed:
                await self._send("cancel_request", CancelRequest(request_id=request_id))

    async def _receive(self) -> str | bytes | None:
        """Return the next message; None when the connection is closed."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | bytes | None = message.get("text")
        return text if text is not None else message.get("bytes", b"")

    async def _send(
        self,
        type: str,
        data: BaseModel | dict[str, JsonValue] | None = None,
        *,
        service: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        text = render_envelope(type, data, service=service, correlation_id=correlation_id)
        async with self._sending:
            if self._websocket.application_state is not WebSocketState.CONNECTED:
                raise WebSocketDisconnect
            await self._websocket.send_text(text)

    async def _send_error(self, error: RefereeError, correlation_id: str | None) -> None:
        report = ErrorReport(code=error.code, message=error.message[:2_000], suggestion=error.hint[:2_000])
        await self._send("error", report, correlation_id=correlation_id)

    @property
    def _database(self) -> Database:
        return self._server.room().database
