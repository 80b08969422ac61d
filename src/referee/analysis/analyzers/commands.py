"""``referee analyzer``: run services for a server elsewhere, or listen for servers; and see who is there."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from referee.foundation.terminal import JsonOption, ProjectOption, make_console, run_for_project

if TYPE_CHECKING:
    import asyncio
    from uuid import UUID

    from referee.analysis.analyzers.api import AnalyzersModel
    from referee.analysis.analyzers.connecting import ServerAddress
    from referee.analysis.analyzers.protocol import ToolOffer
    from referee.analysis.analyzers.stations import Station
    from referee.analysis.running import AnalysisRoom
    from referee.apps import AppsRoom
    from referee.core.vocabulary import Service
    from referee.foundation.settings import Settings
    from referee.foundation.store import Database

__all__ = ["AnalyzerApplication", "OpenAnalyzer", "analyzer_app"]

analyzer_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


class AnalyzerApplication(Protocol):
    """The parts of the application that this command uses."""

    @property
    def settings(self) -> Settings:
        """Settings of this process."""

    @property
    def database(self) -> Database:
        """The open database of this machine."""

    @property
    def apps(self) -> AppsRoom:
        """The room of apps."""

    @property
    def analysis(self) -> AnalysisRoom:
        """The room of analyses."""


class OpenAnalyzer(Protocol):
    """How the command gets the application; ``ctx.obj`` of the root command."""

    def __call__(self, *, is_worker: bool | None) -> AbstractAsyncContextManager[AnalyzerApplication]:
        """Open the application for one command."""


ServicesOption = Annotated[
    str,
    typer.Option("--services", help="What to run: static, dynamic, performance, ai; separated by commas."),
]
ServerOption = Annotated[
    str | None,
    typer.Option("--server", help="Address of the server to work for, such as wss://referee.example."),
]
NameOption = Annotated[
    str | None, typer.Option("--name", help="How people call this analyzer; else the host.")
]
SlotsOption = Annotated[int, typer.Option("--slots", min=1, max=64, help="Requests at the same time.")]
HttpOption = Annotated[
    bool, typer.Option("--http", help="Hand results over by HTTP, not over the WebSocket.")
]
ListenOption = Annotated[
    bool, typer.Option("--listen", help="Listen on ports 2001 to 2004 instead of connecting to a server.")
]
HostOption = Annotated[str, typer.Option("--host", help="Address to listen on, with --listen.")]
KeylessOption = Annotated[
    bool,
    typer.Option(
        "--keyless",
        help="Take servers without a key on a --host that others reach: in a closed network only.",
    ),
]
RootOption = Annotated[
    str | None,
    typer.Option(
        "--root", help="Folder of apps as MODEL/appN that classic requests may name, with --listen."
    ),
]
TargetsOption = Annotated[
    list[str] | None,
    typer.Option("--allow-target", help="Address of a running app that requests may name, with --listen."),
]


@analyzer_app.callback()
def analyzer(
    ctx: typer.Context,
    services: ServicesOption = "static,dynamic,performance,ai",
    server: ServerOption = None,
    name: NameOption = None,
    slots: SlotsOption = 1,
    is_http: HttpOption = False,
    is_listening: ListenOption = False,
    host: HostOption = "127.0.0.1",
    is_keyless: KeylessOption = False,
    root: RootOption = None,
    allow_target: TargetsOption = None,
) -> None:
    """Run services of analyses on this machine, until stopped.

    With --server it connects out, with the key in REFEREE_ANALYZER_KEY, and works on what it is
    given; results wait on this machine's disk until the server has them. With --listen it waits on
    ports 2001 (static) to 2004 (ai) for servers whose settings name it, such as
    REFEREE_STATIC_ANALYZER_URLS, and answers the classic analyzer messages there.
    """
    if ctx.invoked_subcommand is not None:
        return
    import asyncio
    import os

    from referee.core.errors import InvalidInput

    if (server is None) == (not is_listening):
        raise InvalidInput(
            "analyzer.mode_unclear",
            "An analyzer either connects to a server or listens.",
            "Give --server ADDRESS or --listen.",
        )
    chosen = _parse_services(services)
    from referee.analysis.analyzers.connecting import ServerAddress

    key = os.environ.get("REFEREE_ANALYZER_KEY")
    address = None if server is None else ServerAddress.parse(server, key)
    open_application: OpenAnalyzer = ctx.obj

    async def run() -> None:
        from referee.analysis.analyzers.connecting import check_server
        from referee.analysis.analyzers.identity import hold_identity, wait_for_stop
        from referee.foundation.logs import configure_logs
        from referee.foundation.settings import load_settings

        configure_logs(load_settings())
        if address is not None:
            await check_server(address)
        async with open_application(is_worker=False) as application, wait_for_stop() as stop:
            configure_logs(load_settings())  # opening it for a command has silenced them
            with hold_identity(application.settings.home) as analyzer_id:
                if address is None:
                    listening = _Listening(
                        chosen, host, root, allow_target or [], slots, key, is_keyless, name
                    )
                    working = _listen(application, listening, analyzer_id, stop)
                else:
                    from referee.analysis.analyzers.client import CUTS_BEFORE_PUT_COUNT

                    cuts_count = 0 if is_http else CUTS_BEFORE_PUT_COUNT
                    working = _connect(
                        application, chosen, address, name, slots, cuts_count, analyzer_id, stop
                    )
                await working

    asyncio.run(run())


async def _connect(
    application: AnalyzerApplication,
    services: tuple[Service, ...],
    address: ServerAddress,
    name: str | None,
    slots_count: int,
    cuts_before_put_count: int,
    analyzer_id: UUID,
    stop: asyncio.Event,
) -> None:
    """Work for a server until stopped."""
    import socket

    from referee.analysis.analyzers.client import AnalyzerClient, AnalyzerProfile
    from referee.analysis.analyzers.executing import Executor, SourceFetcher, compute_archive_max_bytes
    from referee.analysis.analyzers.spool import Spool
    from referee.foundation.access import get_project

    room = application.analysis
    tools = await _look_for_tools(room, services, stop)
    if tools is None:
        return
    fetcher = SourceFetcher(address, compute_archive_max_bytes(room))
    project = await get_project(application.database, "default")
    executor = Executor(room, application.apps, project.project_id, fetcher.fetch)
    profile = AnalyzerProfile(
        analyzer_id=analyzer_id,
        name=(name or socket.gethostname())[:100],
        services=services,
        tools=tools,
        slots_count=slots_count,
    )
    client = AnalyzerClient(
        profile,
        address,
        Spool(application.settings.home / "analyzer-results"),
        executor.execute,
        cuts_before_put_count=cuts_before_put_count,
    )
    await client.run(stop)


@dataclass(frozen=True, slots=True)
class _Listening:
    """How an analyzer listens."""

    services: tuple[Service, ...]
    host: str
    root: str | None
    allowed_targets: list[str]
    slots_count: int
    key: str | None
    is_keyless: bool
    name: str | None


async def _listen(
    application: AnalyzerApplication, given: _Listening, analyzer_id: UUID, stop: asyncio.Event
) -> None:
    """Wait for servers, and serve the classic messages, until stopped."""
    from pathlib import Path

    from referee.analysis.analyzers.listening import ClassicAnalyzer, serve_classic
    from referee.foundation.access import get_project

    project = await get_project(application.database, "default")
    tools = await _look_for_tools(application.analysis, given.services, stop)
    if tools is None:
        return
    nothing = application.settings.home / "analyzer-apps"  # without --root classic requests find no app
    if given.root is None:
        nothing.mkdir(mode=0o700, exist_ok=True)
    classic = ClassicAnalyzer.create(
        application.analysis,
        application.apps,
        project.project_id,
        root=nothing if given.root is None else Path(given.root),
        allowed_targets=given.allowed_targets,
        services=given.services,
        tools=tools,
    )
    stations = _make_stations(application, given, analyzer_id, project.project_id, tools)
    async with serve_classic(classic, given.host, stations=stations):
        await stop.wait()
        for station in stations.values():
            await station.close()


def _make_stations(
    application: AnalyzerApplication,
    given: _Listening,
    analyzer_id: UUID,
    project_id: UUID,
    tools: tuple[ToolOffer, ...],
) -> dict[Service, Station]:
    """Return what takes the calls of servers, for each service."""
    import asyncio
    import socket

    from referee.analysis.analyzers.stations import make_station
    from referee.core.hosts import is_loopback_host

    turns = asyncio.Semaphore(given.slots_count)
    return {
        service: make_station(
            application.analysis,
            application.apps,
            project_id,
            service,
            tools=tools,
            analyzer_id=analyzer_id,
            name=given.name or socket.gethostname(),
            turns=turns,
            slots_count=given.slots_count,
            key=given.key or None,
            is_keyless_allowed=given.is_keyless or is_loopback_host(given.host),
        )
        for service in given.services
    }


async def _look_for_tools(
    room: AnalysisRoom, services: tuple[Service, ...], stop: asyncio.Event
) -> tuple[ToolOffer, ...] | None:
    """Install and ask every tool, which may take minutes; None when stopped meanwhile."""
    import asyncio

    import structlog

    from referee.analysis.analyzers.executing import offer_tools

    log = structlog.get_logger("referee.analyzers")
    log.info("analyzer.starting", services=[service.value for service in services])
    looking = asyncio.create_task(offer_tools(room, services))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not looking.done():
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        log.info("analyzer.stopped")
        return None
    stopping.cancel()
    return looking.result()


def _parse_services(text: str) -> tuple[Service, ...]:
    from referee.analysis.analyzers.protocol import ANALYZE_TYPES
    from referee.core.errors import InvalidInput
    from referee.core.vocabulary import Service

    names = [name.strip() for name in text.split(",") if name.strip()]
    known = [service.value for service in ANALYZE_TYPES]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise InvalidInput(
            "analyzer.service_unknown",
            f"There is no service {unknown[0]!r}." if unknown else "No service was named.",
            f"Choose among {', '.join(known)}.",
        )
    return tuple(dict.fromkeys(Service(name) for name in names))


@analyzer_app.command("list")
def list_command(ctx: typer.Context, project: ProjectOption = "default", is_json: JsonOption = False) -> None:
    """List the analyzers of this server, those that its settings name among them, with their health."""
    from referee.analysis.analyzers.api import AnalyzersModel
    from referee.analysis.analyzers.protocol import AnalyzerLimits
    from referee.analysis.analyzers.queries import read_overview

    async def read(application: AnalyzerApplication, project_id: UUID) -> AnalyzersModel:
        async with application.database.reading() as session:
            overview = await read_overview(
                session,
                project_id,
                ttl_s=AnalyzerLimits().ttl_s,
                urls=application.settings.analyzer_urls,
            )
        return AnalyzersModel.of(overview)

    found = run_for_project(ctx, project, read)
    if is_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        _print_analyzers(found)


def _print_analyzers(found: AnalyzersModel) -> None:
    from rich.table import Table
    from rich.text import Text

    if not found.analyzers and not found.replicas:
        typer.echo("No analyzers. Start one on another machine with `referee analyzer --server ADDRESS`.")
        return
    console = make_console()
    if found.replicas:
        replicas = Table("service", "address", "state", "failures", "why")
        for replica in found.replicas:
            words = (replica.service.value, replica.url, replica.state, f"{replica.failures_count:,}")
            replicas.add_row(*map(Text, (*words, replica.reason)))
        console.print(replicas)
    if found.analyzers:
        analyzers = Table("analyzer", "services", "state", "running", "results on its disk", "heard")
        for one in found.analyzers:
            cells = (
                one.name,
                " ".join(service.value for service in one.services),
                "connected" if one.is_connected else "away",
                f"{one.running_count:,} of {one.slots_count:,}",
                f"{one.waiting_results_count or 0:,}",
                f"{one.beat_at:%Y-%m-%d %H:%M} UTC",
            )
            analyzers.add_row(*map(Text, cells))
        console.print(analyzers)
