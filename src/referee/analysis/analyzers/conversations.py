"""The server's end of what is said on one connection with an analyzer, whoever opened it.

::

    connection ──> (health_check, when this server has opened it) ──> service_register ──> connection_ack ──> work …

While it stands, a connection is read by one task and given work by another. What must survive a cut
is in the database or on disk before it is said; what is said twice has its effect once. A tool is begun
only when the analyzer was told that the server knows of its having the request: one that was cut off
before that has not begun, and the request can go to another at once.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog
from pydantic import BaseModel

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
from referee.analysis.analyzers.links import Link, LinkClosed
from referee.analysis.analyzers.protocol import (
    ANALYZE_TYPES,
    FINAL_TRANSFER_STATES,
    PROTOCOL_VERSION,
    RESULT_TYPES,
    AnalyzerLimits,
    BeginRequest,
    CancelRequest,
    Chunk,
    ChunkAck,
    ConnectionAck,
    Envelope,
    ErrorReport,
    HealthReport,
    HeartbeatReport,
    Registration,
    ResultOffer,
    SourceRequest,
    StatusUpdate,
    parse_envelope,
    read_data,
    render_envelope,
)
from referee.analysis.analyzers.sources import send_source
from referee.analysis.analyzers.transfers import OpenTransfer, TransferStore
from referee.analysis.running import AnalysisRoom
from referee.core.errors import InvalidInput, RefereeError, Unavailable
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.core.vocabulary import Service
from referee.foundation.store import Database
from referee.foundation.web.live import LiveHub

__all__ = ["Conversation", "ConversationHost", "Unhealthy"]

_FIRST_S: Final = 15.0
"""Time for the first message, and for the answer to a question after health."""
_OFFERS: Final = frozenset({*RESULT_TYPES.values(), "analysis_result"})
_CLOSE_POLICY: Final = 1008
_CLOSE_REPLACED: Final = 4000
"""The analyzer has a newer connection."""

log = structlog.get_logger("referee.analyzers")


class Unhealthy(Unavailable):
    """A listening analyzer says that it cannot work now."""


class ConversationHost:
    """What the conversations of one process share.

    Args:
        room: Of analyses.
        limits: Times and sizes.
    """

    def __init__(self, room: Callable[[], AnalysisRoom], limits: AnalyzerLimits) -> None:
        self.room = room
        self.limits = limits
        self.transfers = TransferStore(room, limits)
        self._endings: set[asyncio.Task[None]] = set()

    def keep(self, task: asyncio.Task[None]) -> None:
        """Let a task that records a result come to its end, whatever becomes of its connection."""
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)


class Conversation:
    """What is said on one connection with one analyzer.

    Args:
        host: What is shared.
        link: The connection.
        live: Where changes are heard.
        project_id: Whose work the analyzer gets.
        expects: The service that the analyzer must offer, when this server has opened the connection; its health
            is then asked before anything else.
        on_registered: Told the analyzer's id once the connection counts.
    """

    def __init__(
        self,
        host: ConversationHost,
        link: Link,
        live: LiveHub,
        project_id: UUID,
        *,
        expects: Service | None = None,
        on_registered: Callable[[UUID], Awaitable[None]] | None = None,
    ) -> None:
        self._host = host
        self._link = link
        self._live = live
        self._project_id = project_id
        self._expects = expects
        self._on_registered = on_registered
        self._connection_id = new_id()
        self._analyzer_id = UUID(int=0)
        self._given: set[UUID] = set()
        """Requests that the analyzer is believed to be at."""
        self._offer: ResultOffer | None = None
        self._transfer: OpenTransfer | None = None
        self._sending = asyncio.Lock()
        self._beat_s = time.monotonic()
        self._is_leaving = False
        self._health: asyncio.Future[HealthReport] | None = None
        self._asked_s = 0.0
        self._sending_source: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Register the analyzer, then read and give work until the connection ends."""
        first = await self._receive_first("service_register")
        registration = read_data(first, Registration)
        if registration.protocol_version != PROTOCOL_VERSION:
            raise InvalidInput(
                "analyzer.protocol_differs",
                f"The analyzer speaks version {registration.protocol_version} of the protocol, and this server"
                f" {PROTOCOL_VERSION}.",
                "Run the same version of Referee on both sides.",
            )
        if self._expects is not None:
            await self._examine(registration, self._expects)
        await self._register(registration, first.id)
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._give_work())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            if self._sending_source is not None:
                tasks.append(self._sending_source)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.shield(self._disconnect())

    async def refuse(self, error: RefereeError) -> None:
        """Say why the connection ends, and end it."""
        with suppress(LinkClosed):
            await self._send_error(error, None)
            await self._link.close(_CLOSE_POLICY, error.code)

    async def _receive_first(self, expected: str) -> Envelope:
        try:
            async with asyncio.timeout(_FIRST_S):
                text = await self._link.receive()
        except TimeoutError as error:
            raise InvalidInput(
                "analyzer.not_registered", "The analyzer did not introduce itself in time.", ""
            ) from error
        if text is None:
            raise LinkClosed
        envelope = parse_envelope(text)
        if envelope.type != expected:
            raise InvalidInput(
                "analyzer.not_registered",
                f"The first message was {envelope.type}, and must be {expected}.",
                "Run the same version of Referee on both sides.",
            )
        return envelope

    async def _examine(self, registration: Registration, service: Service) -> None:
        """See that an analyzer that this server has called offers the service and can work.

        Raises:
            Unhealthy: It cannot now.
            InvalidInput: It offers something else.
        """
        if registration.services != [service]:
            raise InvalidInput(
                "analyzer.service_differs",
                f"The analyzer offers {', '.join(registration.services) or 'nothing'}, and not {service.value}.",
                "Name the port of that service: 2001 static, 2002 dynamic, 2003 performance, 2004 ai.",
            )
        await self._send("health_check")
        _check_health(read_data(await self._receive_first("health_response"), HealthReport))
        self._asked_s = time.monotonic()

    async def _register(self, registration: Registration, message_id: str) -> None:
        self._analyzer_id = registration.analyzer_id
        async with self._database.transaction() as session:
            registered = await register_analyzer(session, self._project_id, registration, self._connection_id)
        self._given = set(registration.requests) - set(registered.forget)
        limits = self._host.limits
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
        for request_id in tuple(self._given):
            await self._send("begin_request", BeginRequest(request_id=request_id))
        for request_id in registered.send_again:
            await self._send_order(request_id)
        if self._on_registered is not None:
            await self._on_registered(self._analyzer_id)
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
                    self._project_id,
                    self._analyzer_id,
                    self._connection_id,
                    is_leaving=self._is_leaving,
                    ttl_s=self._host.limits.ttl_s,
                )
        except RefereeError as error:  # its beat will tell
            log.warning("analyzer.end_not_noted", code=error.code)
        log.info("analyzer.disconnected", analyzer_id=str(self._analyzer_id))

    async def _read(self) -> None:
        while (text := await self._link.receive()) is not None:
            if isinstance(text, bytes):
                raise InvalidInput(
                    "analyzer.message_invalid", "A binary message came without a result_chunk before it.", ""
                )
            await self._take(parse_envelope(text))

    async def _take(self, envelope: Envelope) -> None:
        if envelope.type == "heartbeat":
            await self._take_beat(read_data(envelope, HeartbeatReport))
        elif envelope.type in ("status_update", "progress_update"):
            await self._take_status(read_data(envelope, StatusUpdate))
        elif envelope.type == "source_request":
            self._start_source(read_data(envelope, SourceRequest).source_digest)
        elif envelope.type == "health_response":
            if self._health is not None and not self._health.done():
                self._health.set_result(read_data(envelope, HealthReport))
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

    async def _take_status(self, status: StatusUpdate) -> None:
        async with self._database.transaction() as session:
            is_ours = await note_status(session, self._analyzer_id, status)
        if status.state != "accepted":
            return
        # Only now that it is on record: whoever has not heard this has begun nothing.
        if is_ours:
            await self._send("begin_request", BeginRequest(request_id=status.request_id))
        else:
            await self._send("cancel_request", CancelRequest(request_id=status.request_id))

    def _start_source(self, source_digest: str) -> None:
        """Send a source beside everything else; an analyzer that asks again wants the older one no longer."""
        if self._sending_source is not None:
            self._sending_source.cancel()
        self._sending_source = asyncio.create_task(self._send_source(source_digest))

    async def _send_source(self, source_digest: str) -> None:
        with suppress(LinkClosed):
            try:
                await send_source(
                    self._host.room(), self._project_id, source_digest, self._send, self._send_piece
                )
            except RefereeError as error:
                await self._send_error(error, source_digest)
            except OSError as error:
                log.warning("source.not_sent", source_digest=source_digest, error=str(error)[:300])
                await self._send_error(
                    Unavailable("analyzer.source_not_sent", "The server could not read the source.", ""),
                    source_digest,
                )

    async def _take_beat(self, report: HeartbeatReport | None) -> None:
        self._beat_s = time.monotonic()
        async with self._database.transaction() as session:
            is_ours = await record_beat(session, self._analyzer_id, self._connection_id, report)
        if not is_ours:
            await self._link.close(_CLOSE_REPLACED, "replaced")
            raise LinkClosed

    async def _take_offer(self, envelope: Envelope) -> None:
        offer = read_data(envelope, ResultOffer)
        self._offer, self._transfer = offer, None
        try:
            report, transfer = await self._host.transfers.announce(
                offer, project_id=self._project_id, analyzer_id=self._analyzer_id
            )
        except RefereeError as error:
            await self._send_error(error, str(offer.transfer_id))
            return
        self._transfer = transfer
        await self._send("result_offset", report, correlation_id=envelope.id)
        if transfer is not None and transfer.is_complete:
            self._finish(offer, transfer)

    async def _take_chunk(self, chunk: Chunk) -> None:
        data = await self._link.receive()
        if data is None:
            raise LinkClosed
        if time.monotonic() - self._beat_s > self._host.limits.heartbeat_s:
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
        self._host.keep(asyncio.create_task(self._record(offer, transfer)))

    async def _record(self, offer: ResultOffer, transfer: OpenTransfer) -> None:
        with suppress(LinkClosed):  # the analyzer asks again when it is back
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
        async with self._live.open_stream(frozenset({LIVE_TOPIC}), self._project_id) as stream:
            async for _ in stream.events(self._host.limits.look_s * 4):
                await self._take_lost_back()
                if self._expects is not None and not await self._is_healthy():
                    continue
                while (request_id := await self._assign()) is not None:
                    await self._send_order(request_id)

    async def _is_healthy(self) -> bool:
        """Ask an analyzer that this server has called, unless that was done a moment ago.

        Raises:
            Unhealthy: It cannot work, and has nothing to end.
        """
        if time.monotonic() - self._asked_s < self._host.limits.heartbeat_s:
            return True
        self._health = asyncio.get_running_loop().create_future()
        await self._send("health_check")
        try:
            async with asyncio.timeout(_FIRST_S):
                _check_health(await self._health)
        except (TimeoutError, Unhealthy) as error:
            if self._given:
                return False
            if isinstance(error, Unhealthy):
                raise
            raise Unhealthy(
                "analyzer.silent", f"It did not say how it is within {_FIRST_S:g} s.", "Look into its log."
            ) from error
        self._asked_s = time.monotonic()
        return True

    async def _assign(self) -> UUID | None:
        if self._is_leaving:
            return None
        async with self._database.transaction() as session:
            return await assign_request(
                session,
                self._project_id,
                self._analyzer_id,
                self._connection_id,
                attempts_count=self._host.limits.attempts_count,
                ttl_s=self._host.limits.ttl_s,
            )

    async def _send_order(self, request_id: UUID) -> None:
        order = await build_order(self._host.room(), request_id, self._analyzer_id)
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
            await self._link.send(text)

    async def _send_piece(self, announcement: BaseModel, piece: bytes) -> None:
        """Send a piece of a source right after what announces it."""
        async with self._sending:
            await self._link.send(render_envelope("source_chunk", announcement))
            await self._link.send(piece)

    async def _send_error(self, error: RefereeError, correlation_id: str | None) -> None:
        report = ErrorReport(code=error.code, message=error.message[:2_000], suggestion=error.hint[:2_000])
        await self._send("error", report, correlation_id=correlation_id)

    @property
    def _database(self) -> Database:
        return self._host.room().database


def _check_health(report: HealthReport) -> None:
    if report.status != "healthy":
        raise Unhealthy(
            "analyzer.unhealthy",
            f"It says that it is {report.status}{': ' + report.reason.rstrip('.') if report.reason else ''}.",
            "Look into the analyzer's log.",
        )
