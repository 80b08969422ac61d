"""``referee analyzer``: run services for a server elsewhere, or serve them on the classic ports."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

if TYPE_CHECKING:
    import asyncio
    from uuid import UUID

    from referee.analysis.analyzers.client import ServerAddress
    from referee.analysis.analyzers.protocol import ToolOffer
    from referee.analysis.running import AnalysisRoom
    from referee.apps import AppsRoom
    from referee.core.vocabulary import Service
    from referee.foundation.settings import Settings
    from referee.foundation.store import Database

__all__ = ["AnalyzerApplication", "OpenAnalyzer", "analyzer"]


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
    bool, typer.Option("--listen", help="Serve on ports 2001 to 2004 instead of connecting to a server.")
]
HostOption = Annotated[str, typer.Option("--host", help="Address to listen on, with --listen.")]
RootOption = Annotated[
    str | None,
    typer.Option("--root", help="Folder of apps as MODEL/appN that requests may name, with --listen."),
]
TargetsOption = Annotated[
    list[str] | None,
    typer.Option("--allow-target", help="Address of a running app that requests may name, with --listen."),
]


def analyzer(
    ctx: typer.Context,
    services: ServicesOption = "static,dynamic,performance,ai",
    server: ServerOption = None,
    name: NameOption = None,
    slots: SlotsOption = 1,
    is_http: HttpOption = False,
    is_listening: ListenOption = False,
    host: HostOption = "127.0.0.1",
    root: RootOption = None,
    allow_target: TargetsOption = None,
) -> None:
    """Run services of analyses on this machine, until stopped.

    With --server it connects out, with the key in REFEREE_ANALYZER_KEY, and works on what it is
    given; results wait on this machine's disk until the server has them. With --listen it answers
    the classic analyzer messages on ports 2001 (static) to 2004 (ai).
    """
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
    from referee.analysis.analyzers.client import ServerAddress

    key = os.environ.get("REFEREE_ANALYZER_KEY")
    address = None if server is None else ServerAddress.parse(server, key)
    open_application: OpenAnalyzer = ctx.obj

    async def run() -> None:
        from referee.analysis.analyzers.client import check_server
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
                    working = _listen(application, chosen, host, root, allow_target or [], stop)
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


async def _listen(
    application: AnalyzerApplication,
    services: tuple[Service, ...],
    host: str,
    root: str | None,
    allowed_targets: list[str],
    stop: asyncio.Event,
) -> None:
    """Serve the classic messages until stopped."""
    from pathlib import Path

    from referee.analysis.analyzers.listening import ClassicAnalyzer, serve_classic
    from referee.core.errors import InvalidInput
    from referee.foundation.access import get_project

    if root is None:
        raise InvalidInput(
            "analyzer.root_missing",
            "A listening analyzer must know where the apps are.",
            "Give --root FOLDER, which holds MODEL/appN.",
        )
    project = await get_project(application.database, "default")
    tools = await _look_for_tools(application.analysis, services, stop)
    if tools is None:
        return
    classic = ClassicAnalyzer.create(
        application.analysis,
        application.apps,
        project.project_id,
        root=Path(root),
        allowed_targets=allowed_targets,
        services=services,
        tools=tools,
    )
    async with serve_classic(classic, host):
        await stop.wait()


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
