"""A listening analyzer as the servers see it that call it: one port, one service, one set of results per server.

A server says by its subprotocol that it speaks the protocol of analyzers, and by a header which server it
is. From then on nothing differs from an analyzer that has connected by itself, except that the source
comes over the connection. Whoever may call can have any source started in the sandbox here, so a
station that others than this machine can reach asks for a key.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Final
from uuid import UUID, uuid5

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from referee.analysis.analyzers.client import AnalyzerClient, AnalyzerProfile
from referee.analysis.analyzers.executing import Executor, compute_archive_max_bytes
from referee.analysis.analyzers.protocol import SERVER_ID_HEADER, SUBPROTOCOL, ToolOffer
from referee.analysis.analyzers.receiving import SourceReceiver
from referee.analysis.analyzers.spool import Spool
from referee.analysis.breakers import ServiceGate
from referee.analysis.running import AnalysisRoom
from referee.apps import AppsRoom
from referee.core.errors import Forbidden, RefereeError, TooManyRequests, Unauthorized
from referee.core.vocabulary import Service

__all__ = ["Station", "make_station"]

_MAX_SERVERS_COUNT: Final = 8
_CLOSE_POLICY: Final = 1008
_CLOSE_REPLACED: Final = 4000

log = structlog.get_logger("referee.analyzers")


class Station:
    """Takes the calls of servers for one service.

    Args:
        make_client: Makes what works for the server of an id.
        key: What a server must show; None: nothing.
        is_keyless_allowed: Whether servers may call that show no key, because only this machine can reach it.
    """

    def __init__(
        self, make_client: Callable[[UUID], AnalyzerClient], *, key: str | None, is_keyless_allowed: bool
    ) -> None:
        self._make_client = make_client
        self._key = key
        self._is_keyless_allowed = is_keyless_allowed
        self._clients: dict[UUID, AnalyzerClient] = {}
        self._turns: dict[UUID, asyncio.Lock] = {}
        self._connections: dict[UUID, ServerConnection] = {}
        self._stop = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return the refusal of a call, None when it is taken or is no server's."""
        if SUBPROTOCOL not in ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).replace(
            " ", ""
        ).split(","):
            return None
        try:
            self._check(request)
        except RefereeError as error:
            log.warning("station.call_refused", code=error.code, remote=str(connection.remote_address)[:100])
            body = json.dumps({"code": error.code, "detail": str(error)}) + "\n"
            return connection.respond(HTTPStatus(error.status), body)
        return None

    def _check(self, request: Request) -> None:
        server_id = _read_server_id(request)
        if self._key is None and not self._is_keyless_allowed:
            raise Forbidden(
                "analyzer.key_not_set",
                "This analyzer can be reached from other machines and has no key.",
                "Set REFEREE_ANALYZER_KEY on it and on the server, or start it with --keyless in a closed network.",
            )
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._key is not None and not hmac.compare_digest(shown.encode(), self._key.encode()):
            raise Unauthorized(
                "analyzer.key_refused",
                "The server shows another key than this analyzer has, or none.",
                "Set REFEREE_ANALYZER_KEY to the same on both sides.",
            )
        if server_id not in self._clients and len(self._clients) >= _MAX_SERVERS_COUNT:
            raise TooManyRequests(
                "analyzer.servers_too_many",
                f"This analyzer works for {_MAX_SERVERS_COUNT} servers already.",
                "Restart it to forget those that no longer call.",
            )

    async def serve(self, connection: ServerConnection) -> None:
        """Work for a server on one connection, in place of an older one of the same server."""
        assert connection.request is not None  # noqa: S101 - the handshake is over
        server_id = _read_server_id(connection.request)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._serving.add(task)
        older = self._connections.get(server_id)
        self._connections[server_id] = connection
        try:
            if older is not None:
                await older.close(_CLOSE_REPLACED, "replaced")
            async with self._turns.setdefault(server_id, asyncio.Lock()):
                await self._work(await self._open_client(server_id), connection)
        finally:
            if self._connections.get(server_id) is connection:
                del self._connections[server_id]
            self._serving.discard(task)

    async def _open_client(self, server_id: UUID) -> AnalyzerClient:
        client = self._clients.get(server_id)
        if client is None:
            client = self._make_client(server_id)
            await client.open()
            self._clients[server_id] = client
        return client

    async def _work(self, client: AnalyzerClient, connection: ServerConnection) -> None:
        try:
            await client.serve(connection, self._stop)
        except (ConnectionClosed, OSError, TimeoutError):
            pass
        except RefereeError as error:
            log.warning("station.call_ended", code=error.code, reason=str(error)[:300])
            with suppress(ConnectionClosed):
                await connection.close(_CLOSE_POLICY, error.code)
        log.info("analyzer.not_connected", reason="The connection of the server that had called ended.")

    async def close(self) -> None:
        """Hand over what waits, say goodbye to the servers, and end all work."""
        self._stop.set()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for client in self._clients.values():
            await client.close()


def make_station(
    room: AnalysisRoom,
    apps: AppsRoom,
    project_id: UUID,
    service: Service,
    *,
    tools: Sequence[ToolOffer],
    analyzer_id: UUID,
    name: str,
    turns: asyncio.Semaphore,
    slots_count: int = 1,
    key: str | None,
    is_keyless_allowed: bool,
) -> Station:
    """Return the station of a service that runs real tools.

    Args:
        room: Of analyses, on this machine.
        apps: Of apps, on this machine.
        project_id: The project of this machine's own database that its app runs are counted to.
        service: Which it offers.
        tools: Those of the analyzer.
        analyzer_id: Of this home; each of its services counts as an analyzer of its own.
        name: How people call the analyzer.
        turns: How many requests are carried out at the same time, over all stations.
        slots_count: How many of them a server may give to this one.
        key: What a server must show.
        is_keyless_allowed: Whether servers may call that show no key.
    """
    own_tools = tuple(tool for tool in tools if tool.service is service)
    gate = ServiceGate()
    profile = AnalyzerProfile(
        analyzer_id=uuid5(analyzer_id, service.value),
        name=f"{name[:80]}, {service.value}",
        services=(service,),
        tools=own_tools,
        slots_count=slots_count,
    )

    async def find_trouble() -> str:
        if not any(tool.is_available for tool in own_tools):
            return f"None of its {service.value} tools can be used."
        return await gate.find_trouble(service)

    def make_client(server_id: UUID) -> AnalyzerClient:
        receiver = SourceReceiver(compute_archive_max_bytes(room))
        executor = Executor(room, apps, project_id, receiver.fetch, turns)
        spool = Spool(room.settings.home / "listening-results" / service.value / server_id.hex)
        return AnalyzerClient(
            profile, None, spool, executor.execute, receiver=receiver, find_trouble=find_trouble
        )

    return Station(make_client, key=key, is_keyless_allowed=is_keyless_allowed)


def _read_server_id(request: Request) -> UUID:
    try:
        return UUID(request.headers.get(SERVER_ID_HEADER, ""))
    except ValueError as error:
        raise Forbidden(
            "analyzer.server_unnamed",
            f"A server that calls says which it is, in the header {SERVER_ID_HEADER}.",
            "Run the same version of Referee on both sides.",
        ) from error
