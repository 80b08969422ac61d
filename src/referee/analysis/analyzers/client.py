"""An analyzer's connection to its server: made, kept, and made again.

Work and connection are apart: a cut ends neither a running tool nor a result that waits on the
disk. After each connect both sides compare what they know; then results are handed over one by one
and requests taken as long as there is room.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import psutil
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from referee import __version__
from referee.analysis.analyzers.handing_over import ChunkSender, put_result
from referee.analysis.analyzers.protocol import (
    ANALYZE_TYPES,
    FINAL_TRANSFER_STATES,
    MAX_MESSAGE_BYTES,
    MAX_RESULTS_COUNT,
    PROTOCOL_VERSION,
    AnalyzeRequest,
    CancelRequest,
    ConnectionAck,
    Envelope,
    ErrorReport,
    HeartbeatReport,
    Registration,
    StatusUpdate,
    ToolOffer,
    ToolRunOrder,
    TransferReport,
    parse_envelope,
    read_data,
    render_envelope,
)
from referee.analysis.analyzers.spool import Spool, SpooledResult
from referee.analysis.running import ToolOutput
from referee.core.errors import Forbidden, InvalidInput, RefereeError, Unauthorized
from referee.core.findings import JsonValue
from referee.core.vocabulary import Service
from referee.foundation.web.sessions import is_loopback_host

__all__ = [
    "CUTS_BEFORE_PUT_COUNT",
    "AnalyzerClient",
    "AnalyzerProfile",
    "Backoff",
    "Execute",
    "Report",
    "ServerAddress",
    "check_server",
]

Report: TypeAlias = Callable[[str, str], Awaitable[None]]
"""``report(tool, message)`` says what is being done; ``tool`` may be empty."""
Execute: TypeAlias = Callable[[AnalyzeRequest, Report], AsyncIterator[tuple[ToolRunOrder, ToolOutput]]]
"""Runs the tools of a request and yields each one's output as soon as it has ended."""

_CONNECT_PATH: Final = "/v1/analyzers/connect"
_OPEN_S: Final = 15.0
_LEAVE_S: Final = 10.0
"""At a stop, for results that wait and the farewell."""
CUTS_BEFORE_PUT_COUNT: Final = 3
"""Hand-overs of one result that the connection did not survive before HTTP is tried."""

_CONNECTION_ERRORS: Final = (OSError, ConnectionClosed, InvalidHandshake, TimeoutError, InvalidInput)
"""After these another try may succeed."""

log = structlog.get_logger("referee.analyzers")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzerProfile:
    """Who the analyzer is and what it offers."""

    analyzer_id: UUID
    name: str
    services: tuple[Service, ...]
    tools: tuple[ToolOffer, ...]
    slots_count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where the server is, and the key for it."""

    websocket_url: str
    http_url: str
    key: str | None = None

    @classmethod
    def parse(cls, text: str, key: str | None) -> ServerAddress:
        """Return the addresses of a server named by one of them: ``wss://host``, ``https://host``.

        Raises:
            InvalidInput: It is no such address, or a key would go over the network in the clear.
        """
        parts = urlsplit(text.strip())
        schemes = {
            "ws": ("ws", "http"),
            "http": ("ws", "http"),
            "wss": ("wss", "https"),
            "https": ("wss", "https"),
        }
        if (
            parts.scheme not in schemes
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise InvalidInput(
                "analyzer.server_invalid",
                f"{text[:200]!r} is not the address of a server.",
                "Write it as wss://referee.example.",
            )
        websocket_scheme, http_scheme = schemes[parts.scheme]
        if key and http_scheme == "http" and not is_loopback_host(parts.hostname):
            raise InvalidInput(
                "analyzer.key_in_the_clear",
                f"The key would go to {parts.hostname} in the clear.",
                "Write the address as wss://, or reach the server through a tunnel on 127.0.0.1.",
            )
        path = parts.path.rstrip("/").removesuffix(_CONNECT_PATH)
        return cls(
            websocket_url=f"{websocket_scheme}://{parts.netloc}{path}{_CONNECT_PATH}",
            http_url=f"{http_scheme}://{parts.netloc}{path}",
            key=key or None,
        )

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses between attempts to connect: doubled each time, with chance in them, so that many do not come at once."""

    first_s: float = 0.5
    longest_s: float = 30.0

    def pause_s(self, failures_count: int) -> float:
        """Return the pause after so many failures in a row, from 1."""
        longest: float = min(self.first_s * 2 ** min(failures_count - 1, 20), self.longest_s)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


class AnalyzerClient:
    """One analyzer: its work, its results, its connection.

    Args:
        profile: Who it is.
        server: Where its server is.
        spool: Where its results wait.
        execute: Runs the tools of a request.
        backoff: Pauses between attempts to connect.
        cuts_before_put_count: Hand-overs of one result that the connection does not survive before HTTP is
            tried; 0: at once.
    """

    def __init__(
        self,
        profile: AnalyzerProfile,
        server: ServerAddress,
        spool: Spool,
        execute: Execute,
        *,
        backoff: Backoff | None = None,
        cuts_before_put_count: int = CUTS_BEFORE_PUT_COUNT,
    ) -> None:
        self._profile = profile
        self._server = server
        self._spool = spool
        self._execute = execute
        self._backoff = backoff or Backoff()
        self._cuts_allowed_count = cuts_before_put_count
        self._started_s = time.monotonic()
        self._work: dict[UUID, asyncio.Task[None]] = {}
        self._waiting: dict[UUID, SpooledResult] = {}
        self._cuts: dict[UUID, int] = {}
        self._has_result = asyncio.Event()
        self._is_started = False
        self._connection: ClientConnection | None = None
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

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set; then hand over what waits, say goodbye and end.

        Raises:
            Unauthorized: The server does not know the key.
            Forbidden: The key may not do this.
        """
        for result in await asyncio.to_thread(self._spool.open):
            self._waiting[result.transfer_id] = result
        self._is_started = True
        failures_count = 0
        try:
            while not stop.is_set():
                started_s, why = time.monotonic(), "The server closed it."
                try:
                    async with _connect(self._server) as connection:
                        await self._serve(connection, stop)
                except _CONNECTION_ERRORS as error:
                    _raise_refusal(error)
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

    async def _serve(self, connection: ClientConnection, stop: asyncio.Event) -> None:
        """Use one connection until it ends or the analyzer is to stop."""
        ack = await self._register(connection)
        self._sender = ChunkSender(
            spool=self._spool,
            send_text=connection.send,
            send_bytes=connection.send,
            chunk_bytes=ack.chunk_bytes,
            window_bytes=ack.window_bytes,
        )
        self._connection = connection
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

    async def _register(self, connection: ClientConnection) -> ConnectionAck:
        registration = Registration(
            protocol_version=PROTOCOL_VERSION,
            analyzer_id=self._profile.analyzer_id,
            name=self._profile.name,
            version=__version__,
            services=list(self._profile.services),
            tools=list(self._profile.tools),
            slots_count=self._profile.slots_count,
            requests=list(self._work),
            results=[result.tool_run_id for result in self._waiting.values()][:MAX_RESULTS_COUNT],
        )
        client_id = str(self._profile.analyzer_id)
        await connection.send(render_envelope("service_register", registration, client_id=client_id))
        async with asyncio.timeout(_OPEN_S):
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
            server=self._server.http_url,
            name=self._profile.name,
            services=[service.value for service in self._profile.services],
            waiting_results_count=len(self._waiting),
        )
        return ack

    async def _read(self, connection: ClientConnection) -> None:
        async for message in connection:
            await self._take(connection, parse_envelope(message))

    async def _take(self, connection: ClientConnection, envelope: Envelope) -> None:
        if envelope.type in ANALYZE_TYPES.values():
            await self._take_request(read_data(envelope, AnalyzeRequest))
        elif envelope.type == "cancel_request":
            self._drop(read_data(envelope, CancelRequest).request_id)
        elif envelope.type in ("result_offset", "chunk_ack", "result_ack", "error"):
            if self._sender is not None:
                self._sender.take(envelope)
        elif envelope.type == "ping":
            await connection.send(render_envelope("pong", correlation_id=envelope.id))
        elif envelope.type in ("health_check", "status_request", "server_status"):
            await connection.send(
                render_envelope("health_response", self._describe_health(), correlation_id=envelope.id)
            )

    async def _take_request(self, request: AnalyzeRequest) -> None:
        await self._say(request.request_id, "accepted", "", "accepted")
        if request.request_id not in self._work:
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
            if cuts_count < self._cuts_allowed_count:
                report = await sender.hand_over(result)
            else:
                report = await self._put(result)
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

    async def _put(self, result: SpooledResult) -> TransferReport:
        async with httpx.AsyncClient(base_url=self._server.http_url, headers=self._server.headers) as client:
            return await put_result(client, self._spool, result)

    async def _beat(self, connection: ClientConnection, heartbeat_s: float) -> None:
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

    async def _leave(self, connection: ClientConnection) -> None:
        """Hand over what waits, as far as time allows, and say that no more comes."""
        await self._end_work()
        with suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(_LEAVE_S):
                while self._waiting:
                    await asyncio.sleep(0.05)
        with suppress(ConnectionClosed):
            await connection.send(render_envelope("service_unregister"))

    async def _end_work(self) -> None:
        tasks = list(self._work.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _describe_health(self) -> dict[str, JsonValue]:
        return {
            "status": "healthy",
            "service": ",".join(service.value for service in self._profile.services),
            "version": __version__,
            "uptime": round(time.monotonic() - self._started_s, 1),
            "available_tools": [tool.name for tool in self._profile.tools if tool.is_available],
        }


async def check_server(server: ServerAddress) -> None:
    """Ask the server whether it accepts the key; one that cannot be reached now may do so later.

    Raises:
        Unauthorized: The server does not know the key.
        Forbidden: The key may not do this.
    """
    try:
        async with _connect(server):
            pass
    except _CONNECTION_ERRORS as error:
        _raise_refusal(error)
        log.warning("analyzer.server_unreachable", server=server.http_url, reason=str(error)[:300])


@asynccontextmanager
async def _connect(server: ServerAddress) -> AsyncIterator[ClientConnection]:
    async with connect(
        server.websocket_url,
        additional_headers=server.headers,
        user_agent_header=f"referee-analyzer/{__version__}",
        compression=None,
        max_size=MAX_MESSAGE_BYTES,
        open_timeout=_OPEN_S,
        close_timeout=2.0,
    ) as connection:
        yield connection


def _raise_refusal(error: Exception) -> None:
    """Give up where trying again cannot help: the server does not accept the key."""
    if not isinstance(error, InvalidStatus):
        return
    if error.response.status_code == httpx.codes.UNAUTHORIZED:
        raise Unauthorized(
            "analyzer.key_refused",
            "The server does not know the key.",
            "Make one there with `referee key create NAME --scope write`, and set REFEREE_ANALYZER_KEY to it.",
        ) from error
    if error.response.status_code == httpx.codes.FORBIDDEN:
        raise Forbidden(
            "analyzer.key_insufficient",
            "The server does not let this key run an analyzer.",
            "Make one there with `referee key create NAME --scope write`.",
        ) from error
