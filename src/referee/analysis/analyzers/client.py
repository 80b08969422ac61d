"""An analyzer's connection to its server: made, kept, and made again.

Work and connection are apart: a cut ends neither a running tool nor a result that waits on the
disk. After each connect both sides compare what they know; then results are handed over one by one
and requests taken as long as there is room.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import UUID

import httpx
import psutil
import structlog
from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

from referee import __version__
from referee.analysis.analyzers.connecting import (
    CONNECTION_ERRORS,
    OPEN_S,
    Backoff,
    ServerAddress,
    connect_to,
    raise_refusal,
)
from referee.analysis.analyzers.handing_over import ChunkSender, put_result
from referee.analysis.analyzers.protocol import (
    ANALYZE_TYPES,
    FINAL_TRANSFER_STATES,
    MAX_RESULTS_COUNT,
    PROTOCOL_VERSION,
    AnalyzeRequest,
    BeginRequest,
    CancelRequest,
    ConnectionAck,
    Envelope,
    ErrorReport,
    HealthReport,
    HeartbeatReport,
    Registration,
    SourceChunk,
    StatusUpdate,
    ToolOffer,
    ToolRunOrder,
    TransferReport,
    parse_envelope,
    read_data,
    render_envelope,
)
from referee.analysis.analyzers.receiving import SourceReceiver
from referee.analysis.analyzers.spool import Spool, SpooledResult
from referee.analysis.running import ToolOutput
from referee.core.errors import InvalidInput, RefereeError
from referee.core.findings import JsonValue
from referee.core.vocabulary import Service

__all__ = [
    "CUTS_BEFORE_PUT_COUNT",
    "AnalyzerClient",
    "AnalyzerProfile",
    "Execute",
    "Report",
]

Report: TypeAlias = Callable[[str, str], Awaitable[None]]
"""``report(tool, message)`` says what is being done; ``tool`` may be empty."""
Execute: TypeAlias = Callable[[AnalyzeRequest, Report], AsyncIterator[tuple[ToolRunOrder, ToolOutput]]]
"""Runs the tools of a request and yields each one's output as soon as it has ended."""

_LEAVE_S: Final = 10.0
"""At a stop, for results that wait and the farewell."""
CUTS_BEFORE_PUT_COUNT: Final = 3
"""Hand-overs of one result that the connection did not survive before HTTP is tried."""

log = structlog.get_logger("referee.analyzers")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzerProfile:
    """Who the analyzer is and what it offers."""

    analyzer_id: UUID
    name: str
    services: tuple[Service, ...]
    tools: tuple[ToolOffer, ...]
    slots_count: int = 1


class AnalyzerClient:
    """One analyzer: its work, its results, its connection.

    Args:
        profile: Who it is.
        server: Where its server is; None: the server calls, and ``serve`` is given its connections.
        spool: Where its results wait.
        execute: Runs the tools of a request.
        backoff: Pauses between attempts to connect.
        cuts_before_put_count: Hand-overs of one result that the connection does not survive before HTTP is
            tried; 0: at once.
        receiver: Takes sources that come over the connection.
        find_trouble: Says why the analyzer cannot work now; empty when it can.
    """

    def __init__(
        self,
        profile: AnalyzerProfile,
        server: ServerAddress | None,
        spool: Spool,
        execute: Execute,
        *,
        backoff: Backoff | None = None,
        cuts_before_put_count: int = CUTS_BEFORE_PUT_COUNT,
        receiver: SourceReceiver | None = None,
        find_trouble: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self._profile = profile
        self._server = server
        self._spool = spool
        self._execute = execute
        self._backoff = backoff or Backoff()
        self._cuts_allowed_count = cuts_before_put_count
        self._started_s = time.monotonic()
        self._receiver = receiver
        self._find_trouble = find_trouble
        self._ordered: dict[UUID, AnalyzeRequest] = {}
        """Requests that are here, and may not be begun yet."""
        self._announced: SourceChunk | None = None
        self._work: dict[UUID, asyncio.Task[None]] = {}
        self._waiting: dict[UUID, SpooledResult] = {}
        self._cuts: dict[UUID, int] = {}
        self._has_result = asyncio.Event()
        self._is_started = False
        self._connection: Connection | None = None
        self._sender: ChunkSender | None = None

    @property
    def waiting_count(self) -> int:
        """Results that wait on the disk."""
        return len(self._waiting)

    @property
    def working_count(self) -> int:
        """Requests that it is at."""
        return len(self._work)

    @property
    def is_started(self) -> bool:
        """Whether it has read what waits on its disk."""
        return self._is_started

    async def open(self) -> None:
        """Read what waits on the disk. Once, before anything else."""
        for result in await asyncio.to_thread(self._spool.open):
            self._waiting[result.transfer_id] = result
        self._is_started = True

    async def close(self) -> None:
        """End all work; results stay on the disk."""
        await self._end_work()

    async def run(self, stop: asyncio.Event) -> None:
        """Connect to the server and serve until ``stop`` is set; then hand over what waits, say goodbye and end.

        Raises:
            Unauthorized: The server does not know the key.
            Forbidden: The key may not do this.
        """
        assert self._server is not None  # noqa: S101 - one that is called is never told to call
        await self.open()
        failures_count = 0
        try:
            while not stop.is_set():
                started_s, why = time.monotonic(), "The server closed it."
                try:
                    async with connect_to(self._server) as connection:
                        await self.serve(connection, stop)
                except CONNECTION_ERRORS as error:
                    raise_refusal(error)
                    why = f"{type(error).__name__}: {error}"[:300]
                if stop.is_set():
                    break
                failures_count = (
                    1 if time.monotonic() - started_s > self._backoff.longest_s else failures_count + 1
                )
                pause_s = self._backoff.pause_s(failures_count)
                log.warning(
                    "analyzer.not_connected",
                    server=self._server.http_url,
                    reason=why,
                    next_try_s=round(pause_s, 1),
                )
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await stop.wait()
        finally:
            await self._end_work()
            log.info("analyzer.stopped", waiting_results_count=len(self._waiting))

    async def serve(self, connection: Connection, stop: asyncio.Event) -> None:
        """Use one connection until it ends or the analyzer is to stop.

        Raises:
            InvalidInput: The server does not accept the analyzer, or says what cannot be understood.
        """
        ack = await self._register(connection)
        self._sender = ChunkSender(
            spool=self._spool,
            send_text=connection.send,
            send_bytes=connection.send,
            chunk_bytes=ack.chunk_bytes,
            window_bytes=ack.window_bytes,
        )
        self._connection, self._announced = connection, None
        if self._receiver is not None:
            self._receiver.connect(connection.send)
        tasks = {
            asyncio.create_task(self._read(connection)),
            asyncio.create_task(self._hand_over_results(self._sender)),
            asyncio.create_task(self._beat(connection, ack.heartbeat_s)),
        }
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
            if stop.is_set():
                await self._leave(connection)
        finally:
            self._connection = self._sender = None
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            if self._receiver is not None:
                self._receiver.disconnect()

    async def _register(self, connection: Connection) -> ConnectionAck:
        registration = Registration(
            protocol_version=PROTOCOL_VERSION,
            analyzer_id=self._profile.analyzer_id,
            name=self._profile.name,
            version=__version__,
            services=list(self._profile.services),
            tools=list(self._profile.tools),
            slots_count=self._profile.slots_count,
            requests=[*self._work, *self._ordered],
            results=[result.tool_run_id for result in self._waiting.values()][:MAX_RESULTS_COUNT],
        )
        client_id = str(self._profile.analyzer_id)
        await connection.send(render_envelope("service_register", registration, client_id=client_id))
        async with asyncio.timeout(OPEN_S):
            answer = parse_envelope(await connection.recv())
            while answer.type == "health_check":  # whoever calls asks first
                await self._tell_health(connection, answer)
                answer = parse_envelope(await connection.recv())
        if answer.type != "connection_ack":
            report = read_data(answer, ErrorReport) if answer.type == "error" else None
            raise InvalidInput(
                report.code if report else "analyzer.not_acknowledged",
                report.message if report else f"The server answered {answer.type}.",
                report.suggestion if report else "",
            )
        ack = read_data(answer, ConnectionAck)
        for request_id in ack.forget:
            self._drop(request_id)
        log.info(
            "analyzer.connected",
            server=self._server.http_url if self._server else "it has called",
            name=self._profile.name,
            services=[service.value for service in self._profile.services],
            waiting_results_count=len(self._waiting),
        )
        return ack

    async def _read(self, connection: Connection) -> None:
        async for message in connection:
            if isinstance(message, bytes):
                await self._take_piece(message)
            else:
                await self._take(connection, parse_envelope(message))

    async def _take_piece(self, data: bytes) -> None:
        chunk, self._announced = self._announced, None
        if chunk is None or chunk.length != len(data) or self._receiver is None:
            raise InvalidInput(
                "analyzer.message_invalid",
                "A binary message came that was not announced, or not so long.",
                "",
            )
        await self._receiver.take_piece(chunk, data)

    async def _take(self, connection: Connection, envelope: Envelope) -> None:
        if envelope.type in ANALYZE_TYPES.values():
            await self._take_request(read_data(envelope, AnalyzeRequest))
        elif envelope.type == "cancel_request":
            self._drop(read_data(envelope, CancelRequest).request_id)
        elif envelope.type == "begin_request":
            self._begin(read_data(envelope, BeginRequest).request_id)
        elif envelope.type in ("result_offset", "chunk_ack", "result_ack", "error"):
            if self._sender is not None:
                self._sender.take(envelope)
            if self._receiver is not None:
                await self._receiver.take(envelope)
        elif envelope.type == "source_chunk":
            self._announced = read_data(envelope, SourceChunk)
        elif envelope.type == "source_end":
            if self._receiver is not None:
                await self._receiver.take(envelope)
        elif envelope.type == "ping":
            await connection.send(render_envelope("pong", correlation_id=envelope.id))
        elif envelope.type in ("health_check", "status_request", "server_status"):
            await self._tell_health(connection, envelope)

    async def _take_request(self, request: AnalyzeRequest) -> None:
        if request.request_id not in self._work:
            self._ordered[request.request_id] = request
        await self._say(request.request_id, "accepted", "", "accepted")
        if not request.should_wait:
            self._begin(request.request_id)

    def _begin(self, request_id: UUID) -> None:
        """Begin a request that the server knows to be here; one that is begun, or was taken back, stays as it is."""
        request = self._ordered.pop(request_id, None)
        if request is not None and request_id not in self._work:
            task = asyncio.create_task(self._carry_out(request), name=f"request {request.request_id}")
            self._work[request.request_id] = task
            task.add_done_callback(lambda _: self._work.pop(request.request_id, None))

    async def _carry_out(self, request: AnalyzeRequest) -> None:
        """Run the tools of a request; each result is on disk before the next tool is waited for."""
        here = {result.tool_run_id for result in self._waiting.values()}
        orders = [order for order in request.tool_runs if order.tool_run_id not in here]
        if not orders:
            return
        told = {"request_id": str(request.request_id), "service": request.service.value}
        log.info(
            "request.taken", **told, subject=request.subject[:100], tools=[order.tool for order in orders]
        )

        async def report(tool: str, message: str) -> None:
            log.info("request.progressed", **told, tool=tool, stage=message)
            await self._say(request.request_id, "running", tool, message)

        try:
            async for order, output in self._execute(
                request.model_copy(update={"tool_runs": orders}), report
            ):
                result = await asyncio.to_thread(self._keep, request, order, output)
                del output  # it is on disk now, and may be large
                self._waiting[result.transfer_id] = result
                self._has_result.set()
                log.info("result.kept", **told, tool=order.tool, total_bytes=result.total_bytes)
            log.info("request.finished", **told)
        except asyncio.CancelledError:
            log.info("request.stopped", **told)
            raise
        except RefereeError as error:
            log.warning("request.failed", **told, code=error.code, reason=str(error)[:300])
            await self._say(request.request_id, "failed", "", str(error))
        except Exception as error:
            log.exception("request.crashed", **told)
            await self._say(request.request_id, "failed", "", f"The analyzer failed: {type(error).__name__}.")

    def _keep(self, request: AnalyzeRequest, order: ToolRunOrder, output: ToolOutput) -> SpooledResult:
        return self._spool.put(
            transfer_id=order.transfer_id,
            request_id=request.request_id,
            tool_run_id=order.tool_run_id,
            service=request.service.value,
            output=output,
        )

    def _drop(self, request_id: UUID) -> None:
        """Stop working on a request that is no longer ours; its results are offered all the same."""
        self._ordered.pop(request_id, None)
        task = self._work.get(request_id)
        if task is not None:
            task.cancel()

    async def _hand_over_results(self, sender: ChunkSender) -> None:
        """Hand over what waits, the oldest first, and then whatever comes."""
        while True:
            self._has_result.clear()
            for result in list(self._waiting.values()):
                await self._hand_over(sender, result)
            if not self._waiting:
                await self._has_result.wait()

    async def _hand_over(self, sender: ChunkSender, result: SpooledResult) -> None:
        cuts_count = self._cuts.get(result.transfer_id, 0)
        self._cuts[result.transfer_id] = cuts_count + 1  # taken back unless the connection is cut in it
        try:
            if self._server is None or cuts_count < self._cuts_allowed_count:
                report = await sender.hand_over(result)
            else:
                report = await self._put(self._server, result)
        except InvalidInput as error:  # the server does not know of it
            log.warning("result.not_wanted", transfer_id=str(result.transfer_id), code=error.code)
        except RefereeError as error:
            self._cuts[result.transfer_id] = cuts_count
            log.warning("result.not_taken", transfer_id=str(result.transfer_id), code=error.code)
            await asyncio.sleep(self._backoff.pause_s(2))
            return
        else:
            log.info("result.handed_over", transfer_id=str(result.transfer_id), state=report.state)
            if report.state not in FINAL_TRANSFER_STATES:
                return
        await asyncio.to_thread(self._spool.remove, result)
        self._waiting.pop(result.transfer_id, None)
        self._cuts.pop(result.transfer_id, None)

    async def _put(self, server: ServerAddress, result: SpooledResult) -> TransferReport:
        async with httpx.AsyncClient(base_url=server.http_url, headers=server.headers) as client:
            return await put_result(client, self._spool, result)

    async def _beat(self, connection: Connection, heartbeat_s: float) -> None:
        process = psutil.Process()
        process.cpu_percent()  # from here on it tells the share since the last call
        while True:
            report = HeartbeatReport(
                service_id=str(self._profile.analyzer_id),
                status="busy" if self._work else "idle",
                uptime=round(time.monotonic() - self._started_s, 1),
                active_analyses=len(self._work),
                queue_size=len(self._waiting),
                memory=process.memory_info().rss,
                cpu=process.cpu_percent(),
            )
            await connection.send(render_envelope("heartbeat", report))
            await asyncio.sleep(heartbeat_s)

    async def _say(self, request_id: UUID, state: str, tool: str, message: str) -> None:
        """Tell the server how a request is, if there is a connection: after a cut it learns of it anew."""
        connection = self._connection
        if connection is None:
            return
        update = StatusUpdate.model_validate(
            {"request_id": request_id, "state": state, "tool": tool, "message": message[:500]}
        )
        with suppress(ConnectionClosed):
            await connection.send(render_envelope("status_update", update))

    async def _leave(self, connection: Connection) -> None:
        """Hand over what waits, as far as time allows, and say that no more comes."""
        await self._end_work()
        with suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(_LEAVE_S):
                while self._waiting:
                    await asyncio.sleep(0.05)
        with suppress(ConnectionClosed):
            await connection.send(render_envelope("service_unregister"))

    async def _end_work(self) -> None:
        self._ordered.clear()
        tasks = list(self._work.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell_health(self, connection: Connection, question: Envelope) -> None:
        trouble = "" if self._find_trouble is None else await self._find_trouble()
        report = HealthReport(status="unhealthy" if trouble else "healthy", reason=trouble[:500])
        content: dict[str, JsonValue] = {
            **report.model_dump(mode="json"),
            "service": ",".join(service.value for service in self._profile.services),
            "version": __version__,
            "uptime": round(time.monotonic() - self._started_s, 1),
            "available_tools": [tool.name for tool in self._profile.tools if tool.is_available],
        }
        await connection.send(render_envelope("health_response", content, correlation_id=question.id))
