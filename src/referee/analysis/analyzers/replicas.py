"""Connections that this server opens: to the listening analyzers that its settings name, and to nobody else.

::

    waiting ── called ──> connected ── ended ──> unreachable ┐
       ^          │                                          │  pause: doubled each time, up to half a minute;
       │          └──> unreachable | refused | unhealthy ────┤  after breaker_failures_count failures in a row
       └──────────────── pause is over ──────────────────────┘  one call every breaker_pause_s, or sooner:
                                                                every recall_s while work waits for it alone

All analyzers of a service are kept connected. What one cannot take another does: work is given out as to
analyzers that have connected by themselves (``dispatch.py``), over the same conversation. One process of a
server calls an address, the one that holds its row.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from referee import __version__
from referee.analysis.analyzers.committing import LIVE_TOPIC
from referee.analysis.analyzers.connecting import OPEN_S, Backoff
from referee.analysis.analyzers.conversations import Conversation, ConversationHost, Unhealthy
from referee.analysis.analyzers.links import DialledLink, LinkClosed
from referee.analysis.analyzers.protocol import (
    MAX_MESSAGE_BYTES,
    SERVER_ID_HEADER,
    SUBPROTOCOL,
    AnalyzerLimits,
)
from referee.analysis.analyzers.replica_records import (
    HOLD_S,
    ReplicaState,
    hold_replica,
    note_replica,
    release_replica,
)
from referee.analysis.analyzers.waiting import is_service_forsaken
from referee.analysis.running import AnalysisRoom
from referee.core.errors import RefereeError
from referee.core.ids import new_id
from referee.core.vocabulary import Service
from referee.foundation.access import get_project
from referee.foundation.web.live import LiveHub, publish

__all__ = ["keep_replicas"]

_BEAT_S: Final = HOLD_S / 3

log = structlog.get_logger("referee.analyzers")


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a call brought no connection, or how the connection ended."""

    state: ReplicaState
    reason: str


@asynccontextmanager
async def keep_replicas(
    room: AnalysisRoom, limits: AnalyzerLimits | None = None, backoff: Backoff | None = None
) -> AsyncIterator[None]:
    """Keep connections to the listening analyzers of the settings as long as the block lasts.

    Args:
        room: Of analyses.
        limits: Times and sizes.
        backoff: Pauses between calls.
    """
    host = ConversationHost(lambda: room, limits or AnalyzerLimits())
    project = await get_project(room.database, "default")
    live = LiveHub(room.database.conninfo)
    callers = [
        asyncio.create_task(
            _Caller(host, live, project.project_id, Service(service), url, backoff or Backoff()).run(),
            name=f"caller of {url}",
        )
        for service, urls in room.settings.analyzer_urls.items()
        for url in urls
    ]
    try:
        yield
    finally:
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        await live.close()


class _Caller:
    """Calls one address again and again."""

    def __init__(
        self,
        host: ConversationHost,
        live: LiveHub,
        project_id: UUID,
        service: Service,
        url: str,
        backoff: Backoff,
    ) -> None:
        self._host = host
        self._live = live
        self._project_id = project_id
        self._service = service
        self._url = url
        self._backoff = backoff
        self._holder_id = new_id()
        self._failures_count = 0

    async def run(self) -> None:
        """Call until cancelled."""
        try:
            while True:
                try:
                    if await self._hold():
                        await self._call_once()
                    else:  # another process calls
                        await asyncio.sleep(_BEAT_S)
                except RefereeError as error:  # the database is away
                    log.warning("replica.not_called", url=self._url, code=error.code)
                    await asyncio.sleep(self._backoff.longest_s)
        finally:
            await asyncio.shield(self._release())

    async def _call_once(self) -> None:
        started_s = time.monotonic()
        failure = await self._call()
        lasted_s = time.monotonic() - started_s
        self._failures_count = 1 if lasted_s > self._backoff.longest_s else self._failures_count + 1
        settings = self._host.room().settings
        is_open = self._failures_count >= settings.breaker_failures_count
        pause_s = settings.breaker_pause_s if is_open else self._backoff.pause_s(self._failures_count)
        log.warning(
            "replica.not_connected",
            service=self._service.value,
            url=self._url,
            reason=failure.reason,
            next_try_s=round(pause_s, 1),
        )
        await self._note(failure.state, failure.reason, next_try_s=pause_s)
        deadline_s = time.monotonic() + pause_s
        recall_s = self._host.limits.recall_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            await asyncio.sleep(min(left_s, _BEAT_S, recall_s))
            if not await self._hold():
                return
            if left_s > recall_s and await self._is_needed():
                return  # it may be back, and work would be given up in less time than the pause

    async def _is_needed(self) -> bool:
        """Whether work waits for the service, and no analyzer that offers it is connected."""
        async with self._host.room().database.reading() as session:
            return await is_service_forsaken(
                session, self._project_id, self._service, self._host.limits.ttl_s
            )

    async def _call(self) -> _Failure:
        """Open a connection and use it to its end."""
        try:
            async with self._connect() as connection:
                if connection.subprotocol != SUBPROTOCOL:
                    return _Failure(
                        "refused", "What listens there is no analyzer of this version of Referee."
                    )
                return await self._converse(connection)
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed, EOFError) as error:
            return _explain(error)

    def _connect(self) -> _Call:
        settings = self._host.room().settings
        headers = {SERVER_ID_HEADER: str(self._project_id)}
        if settings.analyzer_key is not None:
            headers["Authorization"] = f"Bearer {settings.analyzer_key.get_secret_value()}"
        return _Call(
            self._url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers=headers,
            user_agent_header=f"referee/{__version__}",
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=OPEN_S,
            close_timeout=2.0,
            proxy=None,
        )

    async def _converse(self, connection: ClientConnection) -> _Failure:
        async def note(analyzer_id: UUID) -> None:
            log.info("replica.connected", service=self._service.value, url=self._url)
            await self._note("connected", "", analyzer_id=analyzer_id)

        conversation = Conversation(
            self._host,
            DialledLink(connection),
            self._live,
            self._project_id,
            expects=self._service,
            on_registered=note,
        )
        talking = asyncio.create_task(conversation.run())
        try:
            while not talking.done():
                await asyncio.wait({talking}, timeout=_BEAT_S)
                if not talking.done() and not await self._hold():
                    return _Failure("unreachable", "Another process of this server calls it.")
            talking.result()
        except LinkClosed:
            pass
        except Unhealthy as error:
            return _Failure("unhealthy", error.message)
        except RefereeError as error:
            await conversation.refuse(error)
            return _Failure("refused", error.message)
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
        return _Failure("unreachable", "The connection ended.")

    async def _hold(self) -> bool:
        async with self._host.room().database.transaction() as session:
            return await hold_replica(session, self._service.value, self._url, self._holder_id)

    async def _note(
        self,
        state: ReplicaState,
        reason: str,
        *,
        analyzer_id: UUID | None = None,
        next_try_s: float | None = None,
    ) -> None:
        async with self._host.room().database.transaction() as session:
            await note_replica(
                session,
                self._service.value,
                self._url,
                self._holder_id,
                state=state,
                reason=reason,
                failures_count=self._failures_count,
                analyzer_id=analyzer_id,
                next_try_s=next_try_s,
            )
            await publish(session, LIVE_TOPIC, project_id=self._project_id)

    async def _release(self) -> None:
        try:
            async with self._host.room().database.transaction() as session:
                await release_replica(session, self._service.value, self._url, self._holder_id)
        except RefereeError as error:  # its hold ends by itself
            log.warning("replica.not_released", url=self._url, code=error.code)


class _Call(connect):
    """A connection to an address of the settings, never to where that one points."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Follow no redirect."""
        return exc


def _explain(error: Exception) -> _Failure:
    """Return what a failed call means."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        if status in (401, 403):
            return _Failure("refused", "It does not accept the key of this server (REFEREE_ANALYZER_KEY).")
        return _Failure("refused", f"It answered {status} where a WebSocket was asked for.")
    if isinstance(error.__cause__, EOFError | OSError) or isinstance(error, ConnectionClosed | EOFError):
        return _Failure("unreachable", "It closed the connection.")
    if isinstance(error, InvalidHandshake):
        return _Failure("refused", "What listens there does not speak WebSocket.")
    if isinstance(error, TimeoutError):
        return _Failure("unreachable", f"It did not answer within {OPEN_S:g} s.")
    if isinstance(error, ConnectionRefusedError):
        return _Failure("unreachable", "Nothing listens there: the connection was refused.")
    return _Failure(
        "unreachable", f"It cannot be reached: {error.__class__.__name__}, {error}"[:300].rstrip(".") + "."
    )
