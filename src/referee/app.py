"""The composition root: the only module besides the command line that knows all rooms.

``open_application`` puts together what one process needs (database, artifacts,
job engine, rooms) and takes it apart again. ``create_web_app`` hangs the rooms'
pages and APIs into the shell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI

from referee import __version__
from referee.analysis import AnalysisRoom, register_workflows, sweep_analyses
from referee.analysis.api import create_api as analysis_api
from referee.analysis.app_judgements import AnalysisJudgements
from referee.analysis.integrity import check_analyses, check_artifacts, check_result_folders
from referee.analysis.pages import create_pages as analysis_pages
from referee.analysis.shell import register_in_shell as register_analysis
from referee.apps.api import create_api as apps_api
from referee.apps.pages import create_pages as apps_pages
from referee.apps.shell import register_in_shell as register_apps
from referee.core.errors import Unavailable
from referee.core.findings import JsonValue
from referee.core.integrity import IntegrityCheck
from referee.foundation.access import Principal, authenticate, confirm_principal, find_local_principal
from referee.foundation.jobs import JobContext, JobEngine, list_workers, refresh_metrics
from referee.foundation.settings import Settings
from referee.foundation.store import ArtifactStore, Database, open_artifacts, open_database
from referee.foundation.web import LiveHub, create_shell
from referee.foundation.web.sessions import ensure_session_secret
from referee.operations.api import create_api as operations_api
from referee.operations.pages import create_pages as operations_pages
from referee.operations.serving import DRAIN_S
from referee.operations.shell import register_in_shell as register_operations
from referee.operations.verification import register_verification
from referee.tools.api import create_api as tools_api
from referee.tools.contract import InstallKit
from referee.tools.install import ToolInstaller
from referee.tools.pages import create_pages as tools_pages
from referee.tools.pages import register_in_shell as register_tools

__all__ = ["Application", "create_web_app", "open_application"]

ALL_TABLES = (
    "referee.foundation.access.tables",
    "referee.foundation.jobs.tables",
    "referee.foundation.store.tables",
    "referee.apps.tables",
    "referee.analysis.tables",
)
"""Modules whose tables together are the schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What one process works with."""

    settings: Settings
    database: Database
    artifacts: ArtifactStore
    engine: JobEngine
    analysis: AnalysisRoom

    @property
    def integrity_checks(self) -> Sequence[IntegrityCheck]:
        """What every room wants read again."""
        checks = (check_artifacts, check_analyses, check_result_folders)
        return tuple(partial(check, self.analysis) for check in checks)


@asynccontextmanager
async def open_application(
    settings: Settings,
    *,
    is_worker: bool | None,
    worker_kind: str = "server",
    drain_s: float = 0.0,
    install_kit: InstallKit | None = None,
) -> AsyncIterator[Application]:
    """Open everything a process needs, and close it in the opposite order.

    Args:
        settings: Of this process.
        is_worker: Whether it also carries out jobs; None: only when no live worker does.
        worker_kind: ``server``, ``worker`` or ``command``, for people.
        drain_s: Seconds that running jobs get to end before they are handed back.
        install_kit: Where tools get their environments; None: the tools' folder of the settings.

    Raises:
        RefereeError: The database, the disk or the settings do not allow it.
    """
    settings.ensure_home()
    database = await open_database(settings)
    try:
        application = _compose(settings, database, install_kit)
        if is_worker is None:
            async with database.reading() as session:
                is_worker = not await list_workers(session)
        await application.engine.start(is_worker=is_worker, worker_kind=worker_kind)
        try:
            yield application
        finally:
            await application.engine.stop(drain_s=drain_s)
    finally:
        await database.close()


def _compose(settings: Settings, database: Database, install_kit: InstallKit | None) -> Application:
    artifacts = open_artifacts(settings)
    engine = JobEngine(settings, database)
    kit = install_kit or ToolInstaller(
        settings.tools_path,
        advisories_dir=settings.advisories_dir,
        install_timeout_s=settings.install_timeout_s,
    )
    analysis = AnalysisRoom(settings=settings, database=database, artifacts=artifacts, install_kit=kit)
    register_workflows(analysis, engine)

    async def sweep(_: JobContext, __: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {"ended_count": await sweep_analyses(analysis)}

    engine.register_schedule("sweep_analyses", "* * * * *", sweep)
    application = Application(
        settings=settings, database=database, artifacts=artifacts, engine=engine, analysis=analysis
    )
    register_verification(engine, database, artifacts, lambda: application.integrity_checks)
    return application


def create_web_app(settings: Settings) -> FastAPI:
    """Return the web application with the pages and routes of all rooms.

    The application itself is opened when the server starts and closed when it stops.
    """
    opened: list[Application] = []
    live = LiveHub()

    def current() -> Application:
        if not opened:
            raise Unavailable(
                "server.starting", "The server is starting or stopping.", "Try again in a moment."
            )
        return opened[0]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with open_application(
            settings, is_worker=True, worker_kind="server", drain_s=DRAIN_S
        ) as application:
            opened.append(application)
            live.connect(application.database.conninfo)
            try:
                yield
            finally:
                opened.clear()
                await live.close()

    async def find_principal(slug: str) -> Principal:
        return await find_local_principal(current().database, slug)

    async def check_key(bearer: str) -> Principal:
        return await authenticate(current().database, bearer)

    async def confirm(principal: Principal) -> None:
        await confirm_principal(current().database, principal)

    async def refresh() -> None:
        async with current().database.reading() as session:
            await refresh_metrics(session)

    settings.ensure_home()
    app = create_shell(
        settings,
        title="Referee",
        version=__version__,
        authenticate=check_key,
        find_local_principal=find_principal,
        confirm_session=confirm,
        session_secret=ensure_session_secret(settings.home / "session.key"),
        live=live,
        lifespan=lifespan,
    )
    app.include_router(operations_api(current, refresh))
    app.include_router(tools_api())
    app.include_router(tools_pages())
    app.include_router(apps_api(lambda: current().database, AnalysisJudgements()))
    app.include_router(apps_pages(lambda: current().database, AnalysisJudgements()))
    app.include_router(analysis_api(lambda: current().analysis, lambda: current().engine))
    app.include_router(analysis_pages(lambda: current().analysis, lambda: current().engine))
    app.include_router(operations_pages(current))
    register_tools(app.state.shell)
    register_apps(app.state.shell, lambda: current().database)
    register_analysis(app.state.shell, lambda: current().analysis)
    register_operations(app.state.shell, current)
    return app
