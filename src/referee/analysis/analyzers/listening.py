"""The classic analyzer servers: one port for each service, spoken to by programs of the earlier system.

Ports and messages are that system's: ``ping``, ``health_check``, ``server_status``, an analyze request,
``status_update`` while it runs and one ``<service>_analysis_result``. There are no keys in that protocol,
so a request may name only apps below one folder, by model and number, and running apps of an
allow-list; pages in browsers are refused. After a result the connection stays open: whoever asked
closes it, and nobody has to guess whether the last bytes have arrived.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from referee import __version__
from referee.analysis.analyzers.classic_results import describe_tool, summarise
from referee.analysis.analyzers.executing import Job, run_job
from referee.analysis.analyzers.protocol import (
    ANALYZE_TYPES,
    MAX_MESSAGE_BYTES,
    RESULT_TYPES,
    SUBPROTOCOL,
    ToolOffer,
    ToolRunOrder,
)
from referee.analysis.analyzers.stations import Station
from referee.analysis.running import AnalysisRoom
from referee.apps import AppsRoom, SourceLimits, locate_source, take_snapshot
from referee.core.errors import Forbidden, InvalidInput, RefereeError
from referee.core.findings import JsonValue
from referee.core.ids import new_id
from referee.core.sources import SourceSnapshot
from referee.core.targets import Target
from referee.core.trace_context import parse_traceparent
from referee.core.vocabulary import Service
from referee.tools.contract import RunningApp
from referee.tools.registry import get_tool

__all__ = ["CLASSIC_PORTS", "ClassicAnalyzer", "serve_classic"]

CLASSIC_PORTS: Final[dict[Service, int]] = {
    Service.static: 2001,
    Service.dynamic: 2002,
    Service.performance: 2003,
    Service.ai: 2004,
}
_MODEL_SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_HEALTH_PATH: Final = "/health"

log = structlog.get_logger("referee.analyzers")


class ClassicRequest(BaseModel):
    """What a request names. Paths are not among it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model_slug: Annotated[str, Field(pattern=rf"^{_MODEL_SLUG.pattern}$")]
    app_number: Annotated[int, Field(ge=1, le=999_999)]
    tools: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)] | None = None
    config: dict[str, Any] | None = None
    """Parameters by tool."""
    target_urls: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=20)] | None = None
    id: Annotated[str, Field(max_length=100)] = ""
    traceparent: Annotated[str, Field(max_length=64)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicAnalyzer:
    """What the classic servers work with."""

    room: AnalysisRoom
    apps: AppsRoom
    project_id: UUID
    root: Path
    allowed_targets: frozenset[tuple[str, str, int]]
    """Scheme, host and port."""
    tools: tuple[ToolOffer, ...]
    services: tuple[Service, ...]
    started_s: float = field(default_factory=time.monotonic)

    @classmethod
    def create(
        cls,
        room: AnalysisRoom,
        apps: AppsRoom,
        project_id: UUID,
        *,
        root: Path,
        allowed_targets: Sequence[str],
        services: tuple[Service, ...],
        tools: tuple[ToolOffer, ...],
    ) -> ClassicAnalyzer:
        """Return an analyzer of apps below a folder.

        Raises:
            InvalidInput: The folder is none, or a target is no address.
        """
        if not root.is_dir():
            raise InvalidInput(
                "analyzer.root_invalid",
                f"{str(root)!r} is no folder.",
                "Give the folder that holds MODEL/appN.",
            )
        return cls(
            room=room,
            apps=apps,
            project_id=project_id,
            root=root.resolve(),
            allowed_targets=frozenset(read_origin(url) for url in allowed_targets),
            tools=tools,
            services=services,
        )

    async def analyze(self, service: Service, request: ClassicRequest, say: _Say) -> dict[str, JsonValue]:
        """Run the tools of a request.

        Returns:
            The fields of the result message besides type and time.

        Raises:
            RefereeError: The app, a tool or a target cannot be used.
        """
        orders = self._list_orders(service, request)
        running = self._find_targets(request.target_urls or [])
        job = Job(
            project_id=self.project_id,
            holder=f"classic request {request.id[:50]}",
            snapshot=await asyncio.to_thread(self._take_source, request),
            traceparent=parse_traceparent(request.traceparent),
            running=running,
        )
        results: dict[str, dict[str, JsonValue]] = {}

        async def report(tool: str, message: str) -> None:
            await say("status_update", {"status": "running", "tool": tool, "message": message})

        async for order, output in run_job(self.room, self.apps, job, orders, report):
            results[order.tool] = await asyncio.to_thread(describe_tool, get_tool(order.tool), output)
            await say(
                "status_update",
                {"status": "running", "tool": order.tool, "message": str(results[order.tool]["status"])},
            )
        return summarise(service, request.model_slug, request.app_number, results)

    def describe_health(self, service: Service) -> dict[str, JsonValue]:
        """Return the fields of ``health_response``."""
        return {
            "status": "healthy",
            "service": f"{service.value}-analyzer",
            "version": __version__,
            "uptime": round(time.monotonic() - self.started_s, 1),
            "available_tools": [
                tool.name for tool in self.tools if tool.service is service and tool.is_available
            ],
        }

    def _list_orders(self, service: Service, request: ClassicRequest) -> list[ToolRunOrder]:
        known = [tool.name for tool in self.tools if tool.service is service]
        chosen = list(dict.fromkeys(request.tools or known))
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise InvalidInput(
                "tool.unknown",
                f"The {service.value} service has no tool {unknown[0]!r}.",
                f"The tools are {', '.join(known)}.",
            )
        config = request.config or {}
        orders = []
        for name in chosen:
            given = config.get(name)
            parameters = (
                get_tool(name).describe().resolve_parameters(given if isinstance(given, Mapping) else {})
            )
            orders.append(
                ToolRunOrder(
                    tool_run_id=new_id(),
                    transfer_id=new_id(),
                    tool=name,
                    parameters={
                        key: list(value) if isinstance(value, tuple) else value
                        for key, value in parameters.items()
                    },
                )
            )
        return orders

    def _find_targets(self, urls: Sequence[str]) -> RunningApp | None:
        """Return an app that runs elsewhere; None when no address was given.

        Raises:
            Forbidden: An address is not in the allow-list.
        """
        if not urls:
            return None
        targets = []
        for number, url in enumerate(urls, start=1):
            origin = read_origin(url)
            if origin not in self.allowed_targets:
                raise Forbidden(
                    "analyzer.target_refused",
                    f"The address {url[:200]!r} is not one that this analyzer may send requests to.",
                    "Leave target_urls out, and the app is started here; or start the analyzer with --allow-target.",
                )
            targets.append(Target(name=f"target{number}", url=url.rstrip("/"), port=origin[2]))
        return RunningApp(targets=tuple(targets), network=None, app_run_id="elsewhere")

    def _take_source(self, request: ClassicRequest) -> SourceSnapshot:
        """Return a copy of the app that a request names. Blocking."""
        settings = self.room.settings
        location = locate_source(
            str(self.root / request.model_slug / f"app{request.app_number}"),
            allowed_roots=[self.root],
            model=request.model_slug,
            number=request.app_number,
        )
        limits = SourceLimits(
            files_count=settings.max_subject_files_count,
            total_bytes=settings.max_subject_bytes,
            file_bytes=settings.max_file_bytes,
        )
        name = f"{request.model_slug}/app{request.app_number}"
        return take_snapshot(location.path, settings.snapshots_dir, limits, name=name)


class _Say:
    """Sends messages of one service on one connection."""

    def __init__(self, connection: ServerConnection, service: Service, request_id: str) -> None:
        self._connection = connection
        self._service = service
        self._request_id = request_id

    async def __call__(self, type: str, fields: Mapping[str, JsonValue]) -> None:
        """Send a message; its fields stand beside the type, as the classic programs read them."""
        message: dict[str, JsonValue] = {
            "type": type,
            "id": new_id().hex,
            "timestamp": datetime.now(UTC).isoformat(),
            "service": f"{self._service.value}-analyzer",
            **fields,
        }
        if self._request_id:
            message["correlation_id"] = self._request_id
        await self._connection.send(json.dumps(message, ensure_ascii=False))


class _Conversation:
    """One connection to one of the servers."""

    def __init__(self, analyzer: ClassicAnalyzer, service: Service, connection: ServerConnection) -> None:
        self._analyzer = analyzer
        self._service = service
        self._connection = connection
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Answer until the other side closes."""
        try:
            async for text in self._connection:
                await self._take(text)
        except ConnectionClosed:
            pass
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    async def _take(self, text: str | bytes) -> None:
        message = _read_message(text)
        kind = message.get("type")
        say = _Say(self._connection, self._service, str(message.get("id") or "")[:100])
        health = self._analyzer.describe_health(self._service)
        if kind == "ping":
            await say("pong", {})
        elif kind == "health_check":
            await say("health_response", health)
        elif kind in ("server_status", "status_request"):
            await say("server_status", {**health, "status": "running", "is_busy": self._is_busy})
        elif kind == ANALYZE_TYPES[self._service]:
            await self._start(message, say)
        elif kind in ("cancel", "cancel_request"):
            if self._task is not None:
                self._task.cancel()
        else:
            await say(
                "error", _describe_error("analyzer.message_unknown", f"There is no message {kind!r:.100}.")
            )

    @property
    def _is_busy(self) -> bool:
        return self._task is not None and not self._task.done()

    async def _start(self, message: Mapping[str, JsonValue], say: _Say) -> None:
        if self._is_busy:
            await say("error", _describe_error("analyzer.busy", "A request is running on this connection."))
            return
        try:
            request = ClassicRequest.model_validate(message)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            await self._send_result(say, _fail("analyzer.message_invalid", f"{where}: {first['msg']}"))
            return
        self._task = asyncio.create_task(self._answer(request, say))

    async def _answer(self, request: ClassicRequest, say: _Say) -> None:
        try:
            fields = await self._analyzer.analyze(self._service, request, say)
        except asyncio.CancelledError:
            with suppress(ConnectionClosed):
                await self._send_result(say, _fail("analyzer.cancelled", "It was cancelled."))
            raise
        except ConnectionClosed:
            return
        except RefereeError as error:
            fields = _fail(error.code, str(error))
        except Exception as error:
            log.exception("classic.request_crashed", service=self._service.value)
            fields = _fail("internal.unexpected", f"The analyzer failed: {type(error).__name__}.")
        with suppress(ConnectionClosed):
            await self._send_result(say, fields)

    async def _send_result(self, say: _Say, fields: Mapping[str, JsonValue]) -> None:
        await say(RESULT_TYPES[self._service], fields)


@asynccontextmanager
async def serve_classic(
    analyzer: ClassicAnalyzer,
    host: str,
    ports: Mapping[Service, int] | None = None,
    stations: Mapping[Service, Station] | None = None,
) -> AsyncIterator[dict[Service, int]]:
    """Serve each service of an analyzer on its port as long as the block lasts.

    Args:
        analyzer: What it works with.
        host: Address to listen on.
        ports: By service; the classic ones by default, 0 for a free one.
        stations: What takes the calls of servers, by service; a service without one takes none.

    Returns:
        The ports that are listened on.
    """
    wanted, called = ports or CLASSIC_PORTS, stations or {}
    async with AsyncExitStack() as stack:
        taken: dict[Service, int] = {}
        for service in analyzer.services:
            server = await stack.enter_async_context(
                serve(
                    _make_handler(analyzer, service, called.get(service)),
                    host,
                    wanted[service],
                    origins=[None],  # programs send no Origin; a page of any site would
                    process_request=_make_answer(analyzer, service, called.get(service)),
                    select_subprotocol=_select_subprotocol if service in called else None,
                    max_size=MAX_MESSAGE_BYTES,
                    compression=None,
                )
            )
            taken[service] = next(iter(server.sockets)).getsockname()[1]
        log.info(
            "classic.listening", host=host, ports={service.value: port for service, port in taken.items()}
        )
        yield taken


def _make_handler(analyzer: ClassicAnalyzer, service: Service, station: Station | None) -> Any:
    async def handle(connection: ServerConnection) -> None:
        if station is not None and connection.subprotocol == SUBPROTOCOL:
            await station.serve(connection)
        else:
            await _Conversation(analyzer, service, connection).run()

    return handle


def _select_subprotocol(_: object, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Speak with servers as they ask; programs of the earlier system ask for nothing."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


def _make_answer(analyzer: ClassicAnalyzer, service: Service, station: Station | None) -> Any:
    """Return what answers a plain HTTP request for the health of a service, and refuses calls of servers."""

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == _HEALTH_PATH:
            return connection.respond(HTTPStatus.OK, json.dumps(analyzer.describe_health(service)) + "\n")
        return None if station is None else station.answer(connection, request)

    return answer


def read_origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an address.

    Raises:
        InvalidInput: It is none of a web app.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        port = 0
    else:
        if port and parts.hostname and parts.scheme in ("http", "https") and parts.username is None:
            return parts.scheme, parts.hostname, port
    raise InvalidInput(
        "analyzer.target_invalid",
        f"{url[:200]!r} is not the address of a web app.",
        "Write it as http://127.0.0.1:5001.",
    )


def _read_message(text: str | bytes) -> dict[str, JsonValue]:
    """Return a message's fields; those of an envelope's ``data`` stand beside the others."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(message, dict):
        return {}
    data = message.get("data")
    return {**(data if isinstance(data, dict) else {}), **message}


def _describe_error(code: str, message: str) -> dict[str, JsonValue]:
    return {"code": code, "message": message, "details": {}, "suggestion": ""}


def _fail(code: str, message: str) -> dict[str, JsonValue]:
    return {
        "status": "error",
        "error": message,
        "analysis": {"error": message, "code": code, "tool_results": {}},
    }
